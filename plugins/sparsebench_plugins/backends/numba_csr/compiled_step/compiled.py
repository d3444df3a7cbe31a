"""Runs the training steps of a network as compiled calls; one call runs several steps if nothing
else happens between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Matrix, Rows
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.data.samples import RowSource, ScaledCsrRows
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.protocols import Layer, Loss, Optimizer, Unit
from sparsebench_plugins.backends.numba_csr import optimizer_rules
from sparsebench_plugins.backends.numba_csr.activation_unit import NumbaUnit
from sparsebench_plugins.backends.numba_csr.compiled_step import kernel_numbers, work_sharing
from sparsebench_plugins.backends.numba_csr.compiled_step.batch_split import Split, split
from sparsebench_plugins.backends.numba_csr.compiled_step.helper_threads import HELPERS
from sparsebench_plugins.backends.numba_csr.compiled_step.program import Program
from sparsebench_plugins.backends.numba_csr.compiled_step.program_parts import (
    CsrInputs,
    Goal,
    Inputs,
    Parts,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import address
from sparsebench_plugins.backends.numba_csr.layer import NumbaCsrLayer

Key = tuple[Any, ...]


class Programs:
    """The programs of one network (see `program`): one for each number of samples and each data
    set, made when these first occur.

    When the layers' arrays change, the addresses in a program are updated. A program is remade if
    the batch is divided in another way.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._programs: dict[Key, Program] = {}
        self._seconds: dict[str, float] = {}

    @classmethod
    def of(
        cls,
        layers: Sequence[Layer],
        units: Sequence[Unit],
        loss: Loss,
        optimizer: Optimizer,
        activations: Sequence[Buffer],
    ) -> Programs | None:
        """The programs of this network; None if there is no kernel for one of the parts."""
        number = kernel_numbers.loss_number(loss)
        own = [layer for layer in layers if isinstance(layer, NumbaCsrLayer)]
        units_known = all(
            isinstance(unit, NumbaUnit) or kernel_numbers.activation_number(unit) is not None
            for unit in units
        )
        if number is None or len(own) < len(layers) or not units_known:
            return None
        if not optimizer_rules.known(optimizer):
            return None
        return cls(Parts(own, units, number, optimizer, activations))

    def train_step(self, X: Batch, T: Array, rate: float, t: int) -> float | None:
        """Make one step on a batch X (D, N). Returns the loss; None, without a step, if X is not
        contiguous, or if it is csr and the work would not be divided by samples."""
        if not readable(X):
            return None
        values = None
        if T is not X:
            values = np.ascontiguousarray(T, np.int64 if T.ndim == 1 else np.float32)
        goal = Goal(values, by_row=False)
        program = self._program(X, goal, X.shape[1])
        if program is None:
            return None
        program.records.set_inputs(X, goal.values)
        rows = np.arange(X.shape[1])
        return float(self._steps(program, rows, rows, [rate], t)[0])

    def train_steps(
        self,
        source: RowSource,
        targets: Array | None,
        rows: Rows,
        target_rows: Rows,
        N: int,
        rates: Sequence[float],
        t: int,
    ) -> npt.NDArray[np.float64] | None:
        """Make steps t, t + 1, ... on N samples each, one for each of `rates`.

        targets      labels (n,) or numbers (n, K); None: the inputs are the targets
        rows         (steps N,) rows of `source`
        target_rows  (steps N,) rows of `targets`

        Returns the losses of the steps made. The steps end early after a loss that is not finite.
        """
        program = self._program(source, Goal(targets, by_row=True), N)
        if program is None:
            return None
        if isinstance(source, ScaledCsrRows):
            stored = np.diff(source.X.indptr)[rows].reshape(-1, N).sum(axis=1)
            program.records.make_room(int(stored.max()))
        return self._steps(program, rows, target_rows, rates, t)

    def outputs(self, X: Batch) -> Matrix | None:
        """The outputs (K, N), valid until the next call. None if X is not contiguous, if the layers
        are in blocks and a batch of N samples would need another order, or as for `train_step`."""
        program = self._program(X, None, X.shape[1]) if readable(X) else None
        if program is None:
            return None
        program.records.set_inputs(X, None)
        rows = np.arange(X.shape[1])
        program.records.step["rows"] = address(rows)
        with HELPERS.held() as hold:
            hold.serial = work_sharing.run_once(
                hold.control, hold.helped, hold.serial, program.phases, program.items
            )
        outputs: Matrix = program.outputs
        return outputs

    def take_seconds(self) -> dict[str, float]:
        found, self._seconds = self._seconds, {}
        for program in self._programs.values():
            if program.trains:
                add_seconds(found, program.take_seconds())
        return found

    def _steps(
        self, program: Program, rows: Rows, target_rows: Rows, rates: Sequence[float], t: int
    ) -> npt.NDArray[np.float64]:
        found = np.zeros(len(rates))
        rules = optimizer_rules.table(self._parts.optimizer, np.asarray(rates), t)
        program.records.step["t"] = t
        with HELPERS.held() as hold:
            done, hold.serial = work_sharing.run_steps(
                hold.control, hold.helped, hold.serial, program.phases, program.items,
                program.records.step, rules, rows, target_rows, program.records.losses, found,
            )  # fmt: skip
        if program.records.csr is not None:
            last = optimizer_rules.of(self._parts.optimizer, rates[done - 1], t + done - 1)
            self._parts.layers[0].after_compiled_csr_steps(last)
        return found[:done]

    def _program(self, X: Inputs, goal: Goal | None, N: int) -> Program | None:
        parts = self._parts
        layers = parts.through_layers(X)
        columns = any(layer.in_columns for layer in layers)
        connections = sum(layer.nnz for layer in layers)
        # each piece of a csr batch reads all its columns, so outputs have few pieces too
        few = goal is not None or isinstance(X, CsrInputs)
        cut = self._split(N, parts.widest(X), connections, few, columns)
        if isinstance(X, CsrInputs):
            unread = goal is not None and goal.values is None  # no kernel reads csr as targets
            if unread or not cut.by_samples or (goal is None and parts.layers[0].in_blocks):
                return None
            parts.layers[0].by_column()
        for layer in layers:
            if cut.by_blocks:
                layer.by_block()
            elif layer.in_blocks:
                if goal is None:
                    return None  # outputs in between do not cost small batches their order
                layer.by_row()
            layer.refresh()
        source = id(X.X) if isinstance(X, RowSource) else isinstance(X, CsrBatch)
        values = None if goal is None or goal.values is None else goal.values
        key = (
            N,
            source,
            goal is None,
            values is None,
            goal is not None and goal.by_row and id(values),
        )
        program = self._programs.get(key)
        if program is not None and not program.fits(cut):
            if program.trains:
                add_seconds(self._seconds, program.take_seconds())
            program = None
        if program is None:
            program = self._programs[key] = Program(parts, cut, X, goal, N)
        elif not program.records.bound:
            program.renew()
        return program

    def _split(self, N: int, widest: int, connections: int, few: bool, columns: bool) -> Split:
        parts = self._parts
        itemsize = parts.activations[0].itemsize if len(parts.layers) > 1 else 4
        return split(
            N, widest, connections, itemsize, absorbs=parts.layers[0].absorbs,
            columns=columns, few_pieces=few,
        )  # fmt: skip

    def stored_bytes(self) -> dict[str, int]:
        return {"scratch": sum(buffer.nbytes for buffer in self._parts.shared.values())}

    def prepare(self, N: int, widest: int, connections: int, source: RowSource | None) -> None:
        layers = self._parts.layers
        X: Inputs = np.zeros((layers[0].shape[1], N), dtype=np.float32)
        if source is not None:
            X = source
        labels = np.zeros(N, dtype=np.int64)
        numbers = np.zeros((N, layers[-1].shape[0]), dtype=np.float32)
        values = labels if kernel_numbers.takes_labels(self._parts.loss) else numbers
        for goal in (None, Goal(values, by_row=True)):
            few = goal is not None or isinstance(X, CsrInputs)
            cuts = {self._split(N, widest, connections, few, columns) for columns in (False, True)}
            for cut in cuts:
                if isinstance(X, CsrInputs) and not cut.by_samples:
                    continue
                Program(self._parts, cut, X, goal, N)


def readable(X: Batch) -> bool:
    """Whether kernels can read this batch."""
    return isinstance(X, CsrBatch) or bool(X.flags.c_contiguous)


def add_seconds(total: dict[str, float], more: Mapping[str, float]) -> None:
    for part, seconds in more.items():
        total[part] = total.get(part, 0.0) + seconds
