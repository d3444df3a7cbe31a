"""A worker in phase one: gradients to the master, weights from it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.protocols import Network
from sparsebench.core.training.steps import Batches, Target
from sparsebench.core.training.work import Work
from sparsebench_parallel.mpi.flat_values import FlatValues
from sparsebench_parallel.mpi.messages import (
    FROM_MASTER,
    FROM_WORKER,
    MASTER,
    Kind,
    Tag,
    header,
    raw,
    receive,
)
from sparsebench_parallel.mpi.polling import complete, until
from sparsebench_parallel.mpi.topology_diff import (
    FIELDS,
    Encoded,
    count_of,
    decode,
)


class Worker:
    """Holds a network whose weights and connections are the master's as of its last answer.

    A layer's gradient leaves as soon as backward has it; the next batch is gathered while the
    weights are on their way.
    """

    def __init__(self, work: Work, network: Network, batches: Batches) -> None:
        assert work.team is not None
        self.network = network
        self._comm: Any = work.team.comm
        self._batches = batches
        self._flat = FlatValues(network)
        self._gradient: Vector = np.empty(self._flat.size, dtype=np.float32)
        self._values: Vector = np.empty(self._flat.size, dtype=np.float32)
        self._told, self._answer = header(FROM_WORKER), header(FROM_MASTER)
        self._sends: list[Any] = []
        self._unsent: set[int] = set()
        self._expected: list[Any] = []
        self._waited = 0.0
        self._paused = 0.0
        self._since = 0.0

    def run(self, epochs: int, *, apart: bool) -> bool:
        """All steps of phase one; whether phase two follows. apart  whether one is planned."""
        t, self._since = 0, time.perf_counter()
        for epoch in range(1, epochs + 1):
            for turn in self._batches.turns(epoch, 0):
                X, T = self._batches.batch(turn)
                if t and self._pull() != Kind.STEP:
                    return False
                t += 1
                self._push(X, T, t)
                if t < epochs * self._batches.per_epoch or apart:
                    self._expect()
        self._away()
        return apart and self._pull() == Kind.ALONE

    # --- gradients -------------------------------------------------------------------

    def _push(self, X: Matrix, T: Target, t: int) -> None:
        """Compute a gradient, and have all of it on its way."""
        self._away()
        self._unsent = set(range(len(self._flat.parts)))
        start = time.perf_counter()
        loss = self.network.compute_gradients(X, T, t, ready=self._send_layer)
        now = time.perf_counter()
        self._send_rest()
        told = self._told
        told["step"], told["samples"], told["loss"] = self._answer["step"], X.shape[1], loss
        told["computed"], told["waited"] = now - start, self._waited
        told["busy"] = max(0.0, now - self._since - self._waited - self._paused)
        self._since, self._waited, self._paused = now, 0.0, 0.0
        self._sends.append(self._comm.Isend(raw(told), MASTER, Tag.HEADER))

    def _send_layer(self, number: int) -> None:
        layer, part = self.network.layers[number], self._gradient[self._flat.parts[number]]
        part[: layer.nnz], part[layer.nnz :] = layer.gradients()
        self._send_part(number)

    def _send_rest(self) -> None:
        """What no layer announced: the gradients of trained units, which come last."""
        if not self._unsent:
            return
        gradients, behind = self.network.gradients(), 2 * len(self.network.layers)
        for number in sorted(self._unsent):
            own = gradients[2 * number : 2 * number + 2 if 2 * number < behind else None]
            np.concatenate(own, out=self._gradient[self._flat.parts[number]])
            self._send_part(number)

    def _send_part(self, number: int) -> None:
        self._unsent.discard(number)
        part = self._gradient[self._flat.parts[number]]
        self._sends.append(self._comm.Isend(part, MASTER, Tag.GRADIENT + number))

    def _away(self) -> None:
        """Until the last gradient is the master's."""
        if self._sends:
            until(lambda: complete(self._sends))
            self._sends = []

    # --- weights ---------------------------------------------------------------------

    def _expect(self) -> None:
        """Have room for an answer, with weights on the connections as they are."""
        self._expected = [
            self._comm.Irecv(raw(self._answer), MASTER, Tag.HEADER),
            self._comm.Irecv(raw(self._values), MASTER, Tag.VALUES),
        ]

    def _pull(self) -> Kind:
        """Wait for the answer, and take over its weights."""
        first, weights = self._expected
        self._waited = until(lambda: complete([first, *self._sends]))
        kind, positions = Kind(int(self._answer["kind"][0])), int(self._answer["positions"][0])
        if kind != Kind.STEP or positions:
            weights.Cancel()
            weights.Wait()
        if kind != Kind.STEP:
            return kind
        if positions:
            self._follow(positions)
            receive(self._comm, self._values, MASTER, Tag.VALUES)
        else:
            self._waited += until(lambda: complete([weights]))
        self._paused = min(self._waited, float(self._answer["paused"][0]))
        self._waited -= self._paused
        self.network.assign(self._flat.views(self._values))
        return kind

    def _follow(self, positions: int) -> None:
        """Change the topology as the master's has changed."""
        table = np.empty((len(self.network.layers), FIELDS), dtype=np.int64)
        receive(self._comm, table, MASTER, Tag.TABLE)
        width = int(self._answer["width"][0])
        changed = Encoded(table, np.empty(positions, dtype=f"<i{width}"))
        assert count_of(table) == positions
        receive(self._comm, changed.positions, MASTER, Tag.POSITIONS)
        apply_changes(self.network, changed)
        self._away()
        self._flat = FlatValues(self.network)
        self._gradient = self._flat.fitting(self._gradient)
        self._values = self._flat.fitting(self._values)


def apply_changes(network: Network, changed: Encoded) -> None:
    """Move the connections of all layers; optimizer state follows, as ever."""
    patterns = [layer.weights().pattern for layer in network.layers]
    for layer, change in zip(network.layers, decode(changed, patterns), strict=True):
        if change is not None:
            layer.apply_change(change)
