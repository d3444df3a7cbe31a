"""A worker in phase one: computes gradients and sends them to the master for new weights."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsebench.core.csr_batch import Batch
from sparsebench.core.protocols import Network
from sparsebench.core.training.steps import Batches, Target
from sparsebench.core.training.work import Work
from sparsebench_parallel.mpi.messages import (
    FROM_MASTER,
    FROM_WORKER,
    MASTER,
    FlatValues,
    Kind,
    Tag,
    complete,
    poll_until,
    raw,
    receive,
    wait,
)
from sparsebench_parallel.mpi.topology_diff import Encoded, apply_encoded


class Worker:
    """A worker: its network has the weights and connections of the master's last answer.

    A layer's gradient is sent as soon as the backward pass has computed it; the next batch is
    gathered while the weights are in transit.
    """

    def __init__(self, work: Work, network: Network, batches: Batches) -> None:
        assert work.team is not None
        self.network = network
        self._comm: Any = work.team.comm
        self._batches = batches
        self._flat = FlatValues(network)
        self._gradient, self._values = self._flat.fitting(), self._flat.fitting()
        self._header, self._answer = np.zeros((), FROM_WORKER), np.zeros((), FROM_MASTER)
        self._sends: list[Any] = []
        self._receives: list[Any] = []
        self._waited = self._paused = 0.0
        self._last_sent = 0.0

    def run(self, epochs: int, *, apart: bool) -> bool:
        """Make all steps of phase one. Returns whether phase two follows; False if the master
        stopped the training.

        epochs  number of epochs of phase one
        apart   whether a phase two is planned
        """
        t, self._last_sent = 0, time.perf_counter()
        for epoch in range(1, epochs + 1):
            for turn in self._batches.turns(epoch, 0):
                X, T = self._batches.batch(turn)
                if t and self._take_answer() != Kind.STEP:
                    return False
                t += 1
                self._send_gradient(X, T, t)
                if t < epochs * self._batches.per_epoch or apart:
                    self._receives = [
                        self._comm.Irecv(raw(self._answer), MASTER, Tag.HEADER),
                        self._comm.Irecv(raw(self._values), MASTER, Tag.VALUES),
                    ]
        self._wait_until_sent()
        return apart and self._take_answer() == Kind.ALONE

    def _send_gradient(self, X: Batch, T: Target, t: int) -> None:
        """Compute a gradient and send it and its header, without waiting until they have left."""
        self._wait_until_sent()
        unsent = set(range(len(self._flat.parts)))

        def send(number: int) -> None:
            """Send the gradient of layer `number`; if that is the number of layers, the gradient of
            the parameters of all activation functions."""
            layers, part = self.network.layers, self._gradient[self._flat.parts[number]]
            units = number == len(layers)
            own = self.network.gradients()[2 * number :] if units else layers[number].gradients()
            np.concatenate(own, out=part)
            unsent.discard(number)
            self._sends.append(self._comm.Isend(part, MASTER, Tag.GRADIENT + number))

        start = time.perf_counter()
        loss = self.network.compute_gradients(X, T, t, ready=send)
        now = time.perf_counter()
        for number in sorted(unsent):
            send(number)
        facts = {
            "step": self._answer["step"],
            "samples": X.shape[1],
            "loss": loss,
            "computed": now - start,
            "waited": self._waited,
            "busy": max(0.0, now - self._last_sent - self._waited - self._paused),
        }
        for name, value in facts.items():
            self._header[name] = value
        self._last_sent, self._waited, self._paused = now, 0.0, 0.0
        self._sends.append(self._comm.Isend(raw(self._header), MASTER, Tag.HEADER))

    def _wait_until_sent(self) -> None:
        wait(self._sends)
        self._sends = []

    def _take_answer(self) -> Kind:
        """Wait for the master's answer; if it is a step, adopt its connections and weights."""
        header, weights = self._receives
        self._waited = poll_until(lambda: complete([header, *self._sends]))
        kind, positions = Kind(int(self._answer["kind"])), int(self._answer["positions"])
        if kind != Kind.STEP or positions:  # no weights follow, or weights of another size
            weights.Cancel()
            weights.Wait()
        if kind != Kind.STEP:
            return kind
        if positions:
            self._change_topology(positions)
            receive(self._comm, self._values, MASTER, Tag.VALUES)
        else:
            self._waited += wait([weights])
        self._paused = min(self._waited, float(self._answer["paused"]))
        self._waited -= self._paused
        self.network.assign(self._flat.views(self._values))
        return kind

    def _change_topology(self, positions: int) -> None:
        """Receive the master's topology change, encoded in `positions` integers, and apply it."""
        table = np.empty((len(self.network.layers), 3), dtype=np.int64)
        receive(self._comm, table, MASTER, Tag.TABLE)
        changed = Encoded(table, np.empty(positions, dtype=f"<i{int(self._answer['width'])}"))
        receive(self._comm, changed.positions, MASTER, Tag.POSITIONS)
        apply_encoded(self.network, changed)
        self._wait_until_sent()
        self._flat = FlatValues(self.network)
        self._gradient = self._flat.fitting(self._gradient)
        self._values = self._flat.fitting(self._values)
