"""Makes the program of a network for one number of samples: its phases as tables of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.samples import ScaledRows
from sparsebench_plugins.backends.numba_csr import optimizer_rules
from sparsebench_plugins.backends.numba_csr.compiled_step import (
    batch_inputs,
    block_operations,
    csr_operations,
    losses,
    operations,
    smooth_activations,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.batch_split import Split
from sparsebench_plugins.backends.numba_csr.compiled_step.network_records import NetworkRecords
from sparsebench_plugins.backends.numba_csr.compiled_step.program_parts import (
    Array,
    CsrInputs,
    Goal,
    Inputs,
    Parts,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import SEQUENCE, address, filled
from sparsebench_plugins.backends.numba_csr.csr_input import CHUNKS
from sparsebench_plugins.backends.numba_csr.csr_passes import moves_all

Item = tuple[int, Array, int, int]
"""A kernel's address, its record, and its two other arguments."""

Part = Literal["gather", "forward", "backward", "update"]
"""The part of a step that a kernel belongs to: assembling the batch; the layers' outputs; the loss,
gradients, and updates that are made with them; all other updates."""

Pass = tuple[Part, int, Array, int]
"""A kernel's part of the step, its address, its record, and its number of chunks of neurons."""

STRETCH = 8192
"""The number of connections in one piece of an update."""

ALONE = 100_000
"""With fewer multiply-adds than this, no other thread is woken."""

LINE_WORDS = 8
"""Words of 8 bytes in a cache line, of which no two threads may write the same."""

UPDATE_COST, COPY_COST = 10, 3
"""Multiply-adds that take as long as the update of a connection, and as its copy."""


class Program:
    """A network's training step, or its outputs, for one number of samples.

    cut            how the samples are divided
    records        the records that its kernels read
    items, phases  the tables that `work_sharing` runs
    outputs        (K, N) of the last layer
    """

    _table: Array
    _times: Array

    def __init__(self, parts: Parts, cut: Split, X: Inputs, goal: Goal | None, N: int) -> None:
        """X     (features, N), which `NetworkRecords.set_inputs` replaces; or rows of a data set
        goal  the targets; None: only outputs (K, N) are computed, without dropout
        """
        self.cut = cut
        self.records = NetworkRecords(parts, cut, X, goal, N)
        self.outputs = self.records.activations[-1]
        self._of, self._goal = parts, goal
        self._seconds: dict[str, float] = {}
        self._phase_parts: list[tuple[Part, ...]] = []
        if isinstance(X, CsrBatch):
            self._inputs = csr_operations.sort(*_scalars(X.indptr, X.indices, X.data), None)
        elif isinstance(X, CsrInputs):
            scaled: Any = None if X.scale is None else X.scale.dtype.type
            kinds = _scalars(X.X.indptr, X.X.indices, X.X.data)
            self._inputs = csr_operations.sort(*kinds, scaled)
        elif isinstance(X, ScaledRows):
            self._inputs = batch_inputs.assemble(*_scalars(X.X, X.mean))
        else:
            self._inputs = batch_inputs.copy()
        self._lay_out()

    def fits(self, cut: Split) -> bool:
        """Whether the program divides the samples in this way, and its kernels fit the layers'
        types."""
        return cut == self.cut and self.records.index_types() == self.records.index

    def renew(self) -> None:
        """Update the addresses of the layers' arrays, which may have been replaced, and the tables
        if the numbers of connections or blocks changed."""
        if self.records.bind():
            self._lay_out()

    @property
    def trains(self) -> bool:
        """Whether this is a training step and not only the outputs."""
        return self._goal is not None

    def take_seconds(self) -> dict[str, float]:
        """The seconds spent in each part of the steps since the last call.

        Where threads make all passes of their tiles, each part gets its share of the time that the
        threads took together.
        """
        self._count_seconds()
        found, self._seconds = self._seconds, {}
        return found

    def _count_seconds(self) -> None:
        """Add up the times in the tables, and set these to 0."""
        for phase, parts in zip(self.phases, self._phase_parts, strict=True):
            shares = [1.0]
            if len(parts) > 1:
                passes = self._times[:, 2 : 2 + len(parts)].sum(axis=0)
                shares = (passes / max(1, passes.sum())).tolist()
                self._times[:] = 0
            for part, share in zip(parts, shares, strict=True):
                self._seconds[part] = self._seconds.get(part, 0.0) + 1e-9 * share * float(phase[3])
        self.phases[:, 3] = 0

    def _lay_out(self) -> None:
        if self._phase_parts:
            self._count_seconds()
        self._items: list[tuple[int, int, int, int]] = []
        self._phases: list[tuple[int, int, int, int]] = []
        self._phase_parts = []
        if self.records.csr is not None:
            self._prepare_csr(self.records.csr)
        passes = self._forward()
        if self._goal is not None:
            passes += self._backward(self._goal)
        if self.cut.by_samples:
            self._add_sample_phase(passes)
        else:
            self._add_pass_phases(passes)
        if self._goal is not None:
            if self.records.csr is not None:
                self._update_csr(self.records.csr)
            self._update()
        self.items = np.array(self._items, dtype=np.int64).reshape(-1, 4)
        self.phases = np.array(self._phases, dtype=np.int64).reshape(-1, 4)

    # --- the passes ---------------------------------------------------------------------

    def _types(self, number: int) -> tuple[Any, ...]:
        """The types of a layer's indices, inputs and outputs."""
        views = self.records.activations
        below = views[number - 1].dtype.type if number else np.float32
        return self.records.index[number], below, views[number].dtype.type

    def _chunks(self, number: int, backward: bool = False) -> int:
        """The number of chunks into which one layer's pass is divided; 1 if samples are divided."""
        layer, record = self._of.layers[number], self.records.layers[number][0]
        if self.cut.by_samples:
            return 1
        if self.cut.by_blocks:
            return int(record["C"] if backward and number > 0 else record["R"])
        return (layer.by_column().chunks if backward else layer.row_chunks).size - 1

    def _forward(self) -> list[Pass]:
        passes: list[Pass] = []
        if self.records.batch is not None:
            passes.append(("gather", self._inputs, self.records.batch, 1))
        for number, record in enumerate(self.records.layers):
            index, x, z = self._types(number)
            if number == 0 and self.records.csr is not None:
                kernel, record = csr_operations.forward(index, z), self.records.csr
            elif self.cut.by_blocks:
                kernel = block_operations.forward(x, z)
            else:
                kernel = operations.forward(index, x, z)
            passes.append(("forward", kernel, record, self._chunks(number)))
            if number in self.records.curves:
                curve = self.records.curves[number]
                passes.append(("forward", smooth_activations.forward(), curve, 1))
        return passes

    def _backward(self, goal: Goal) -> list[Pass]:
        records = self.records
        assert records.targets is not None
        passes: list[Pass] = [("backward", losses.gradient(goal.labels), records.targets, 1)]
        for number in range(len(records.layers) - 1, -1, -1):
            if number in records.curves:
                curve = records.curves[number]
                passes.append(("backward", smooth_activations.backward(), curve, 1))
            record, state = records.layers[number], self._of.layers[number].slot_type
            index, x, z = self._types(number)
            if number == 0 and records.csr is not None:
                kernel, record = csr_operations.transpose(z), records.csr
            elif self.cut.by_blocks:
                kernel = block_operations.backward(z, x, state)
            else:
                kernel = operations.backward(index, z, x, state, bool(record[0]["partial"]))
            passes.append(("backward", kernel, record, self._chunks(number, backward=True)))
        return passes

    # --- the phases ---------------------------------------------------------------------

    def _add_sample_phase(self, passes: Sequence[Pass]) -> None:
        """Add a phase in which each piece of work makes all passes."""
        self._table = np.array([(kernel, address(record), 0, 0) for _, kernel, record, _ in passes])
        stride = -(-(2 + len(passes)) // LINE_WORDS) * LINE_WORDS
        self._times = np.zeros((self.cut.pieces, stride), dtype=np.int64)
        self._whole = filled(
            SEQUENCE, step=address(self.records.step), items=address(self._table),
            count=len(passes), times=address(self._times), times_stride=stride,
        )  # fmt: skip
        items = [(operations.sequence(), self._whole, piece, 0) for piece in range(self.cut.pieces)]
        self._phase([part for part, *_ in passes], items, self._alone)

    def _add_pass_phases(self, passes: Sequence[Pass]) -> None:
        """Add a phase for each tile of each pass."""
        for part, kernel, record, chunks in passes:
            for tile in range(self.cut.tiles):
                items = [(kernel, record, tile, chunk) for chunk in range(chunks)]
                self._phase([part], items, self._alone)

    def _prepare_csr(self, record: Array) -> None:
        """Add phases that sort the batch by feature, and make the steps that its columns missed."""
        index, state = self._types(0)[0], self._of.layers[0].slot_type
        self._phase(["gather"], [(self._inputs, record, 0, 0)], True)
        kernel = csr_operations.catch_up(index, state)
        self._phase(["update"], [(kernel, record, 0, c) for c in range(CHUNKS)], self._alone)

    def _update_csr(self, record: Array) -> None:
        """Add phases that update the columns of the batch's features; the others make the step
        later."""
        index, state = self._types(0)[0], self._of.layers[0].slot_type
        lags = moves_all(optimizer_rules.of(self._of.optimizer, 1.0, 1))
        if lags:
            self._phase(["update"], [(csr_operations.note(), record, 0, 0)], True)
        chunks = range(CHUNKS)
        kernel = csr_operations.gradient(index, state)
        self._phase(["backward"], [(kernel, record, 0, c) for c in chunks], self._alone)
        if lags:
            kernel = csr_operations.settle(index, state)
            self._phase(["update"], [(kernel, record, 0, c) for c in chunks], self._alone)
            self._phase(["update"], [(csr_operations.settled(), record, 0, 0)], True)

    @property
    def _alone(self) -> bool:
        """Whether a pass over all layers is too little work to wake another thread for."""
        return self._of.connections * int(self.records.step[0]["N"]) < ALONE

    def _update(self) -> None:
        """Add a phase that updates all trained arrays, and one that updates the csr copies."""
        updates: list[Item] = []
        copies: list[Item] = []
        for number, (layer, record) in enumerate(
            zip(self._of.layers, self.records.layers, strict=True)
        ):
            stretches = [
                (start, min(start + STRETCH, layer.nnz)) for start in range(0, layer.nnz, STRETCH)
            ]
            if record[0]["partial"]:
                kernel = operations.update_weights(layer.slot_type)
                updates += [(kernel, record, *stretch) for stretch in stretches]
            if not (self.cut.by_blocks or (number == 0 and self.records.csr is not None)):
                kernel = operations.copy_weights(self._types(number)[0])
                copies += [(kernel, record, *stretch) for stretch in stretches]
        kernel = operations.update_vector()
        updates += [(kernel, record, 0, 0) for record in self.records.vectors.values()]
        self._phase(["update"], updates, self._of.connections * UPDATE_COST < ALONE)
        if copies:
            self._phase(["update"], copies, self._of.connections * COPY_COST < ALONE)

    def _phase(self, parts: Sequence[Part], items: Sequence[Item], alone: bool) -> None:
        """parts  of the step, to which the items belong; several if each item makes all passes"""
        self._phase_parts.append(tuple(parts))
        self._phases.append((len(self._items), len(items), int(alone), 0))
        self._items += [(kernel, address(record), a, b) for kernel, record, a, b in items]


def _scalars(*arrays: Array) -> tuple[Any, ...]:
    """The scalar types of the arrays' elements."""
    return tuple(array.dtype.type for array in arrays)
