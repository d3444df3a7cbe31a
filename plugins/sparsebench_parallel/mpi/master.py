"""The master of phase one, in which all processes train one network: a link to each worker, and
the steps made of the workers' gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array, Vector
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import Change, CsrPattern
from sparsebench.core.training.steps import Timers
from sparsebench_parallel.mpi.messages import (
    FROM_MASTER,
    FROM_WORKER,
    FlatValues,
    Kind,
    Tag,
    complete,
    poll_until,
    raw,
)
from sparsebench_parallel.mpi.plan import Plan, scale_velocity
from sparsebench_parallel.mpi.run_measures import RunMeasures
from sparsebench_parallel.mpi.topology_diff import Encoded, encode, retained


class Link:
    """The master's link to one worker. It never blocks.

    A single array holds the worker's gradient and later the weights that answer it. The receives
    for the next gradient are posted as soon as those weights are sent, so that its parts arrive
    while the worker still computes the rest.

    patterns  the connections that the worker has
    turns     number of this worker's gradients that the master has yet to accept
    buffer    the gradient that arrives, or the weights that are sent
    busy      whether a gradient is expected, or has arrived and was not accepted yet
    """

    def __init__(
        self,
        comm: Any,
        rank: int,
        flat: FlatValues,
        patterns: Sequence[CsrPattern],
        turns: int,
        measures: RunMeasures,
    ) -> None:
        self.rank = rank
        self.flat = flat
        self.patterns = patterns
        self.turns = turns
        self.buffer: Vector = flat.fitting()
        self.busy = False
        self._comm = comm
        self._measures = measures
        self._header = np.zeros((), dtype=FROM_WORKER)
        self._paused = 0.0
        self._receives: list[Any] = []
        self._sends: list[Any] = []
        self._sending: list[Array] = []

    def listen(self) -> None:
        """Post the receives for the worker's next gradient and its header."""
        self.busy = True
        self._receives = [self._comm.Irecv(raw(self._header), self.rank, Tag.HEADER)]
        for number, part in enumerate(self.flat.parts):
            request = self._comm.Irecv(self.buffer[part], self.rank, Tag.GRADIENT + number)
            self._receives.append(request)

    def arrived(self) -> bool:
        """Whether the expected gradient has arrived. Polling it also makes messages progress."""
        if not self.is_sent():
            return False
        if not self._receives:
            self.listen()
        return complete(self._receives)

    def accept(self) -> Array:
        """Take the gradient that has arrived: it is in `buffer`, and its header is returned."""
        self.busy = False
        self.turns -= 1
        self._receives = []
        self._measures.bytes += self._header.nbytes + self.buffer.nbytes
        return self._header

    def send_step(
        self,
        values: Sequence[Vector],
        flat: FlatValues,
        patterns: Sequence[CsrPattern],
        changed: Encoded | None,
        step: int,
        paused: float,
    ) -> None:
        """Answer the worker's gradient with the weights and the change of the topology; the worker
        then computes the next one.

        changed  the change of the topology since this worker's last answer; None: no change
        step     number of updates that the master has made
        paused   total seconds between epochs so far; the worker is sent the increase since its last
                 answer
        """
        facts = {"step": step, "paused": paused - self._paused}
        self._paused, self.flat, self.patterns = paused, flat, patterns
        self.buffer = flat.packed(values, into=self.buffer)
        messages: list[tuple[Array, int]] = [(self.buffer, Tag.VALUES)]
        if changed is not None:
            facts |= {"positions": changed.positions.size, "width": changed.positions.itemsize}
            messages = [
                (changed.table, Tag.TABLE), (changed.positions, Tag.POSITIONS), *messages
            ]  # fmt: skip
            self._measures.topology_bytes += changed.nbytes
        self.send(messages, kind=Kind.STEP, **facts)
        self.busy = True

    def send(self, messages: Sequence[tuple[Array, int]] = (), **facts: float) -> None:
        """Start to send a header with these facts (fields of FROM_MASTER), and pairs of an array
        and its tag. The arrays are kept until they have left."""
        header = np.zeros((), dtype=FROM_MASTER)
        for name, value in facts.items():
            header[name] = value
        messages = [(header, Tag.HEADER), *messages]
        self._sending = [array for array, _ in messages]
        self._measures.bytes += sum(array.nbytes for array in self._sending)
        self._sends = [self._comm.Isend(raw(array), self.rank, tag) for array, tag in messages]

    def is_sent(self) -> bool:
        """Whether all that was sent has left, so that the arrays may be overwritten."""
        if self._sends and complete(self._sends):
            self._sends, self._sending = [], []
        return not self._sends


class Master:
    """Base class: makes the steps of the master's training loop from the workers' gradients.

    The updated weights are sent at the start of the next step, not at the end of a step: by then
    topology updates and evaluations are done, so no worker computes during untimed work.
    """

    per_epoch = 0

    def __init__(self, plan: Plan, network: Network, comm: Any, measures: RunMeasures) -> None:
        self.timers = Timers()
        self.plan = plan
        self.network = network
        self.measures = measures
        self.flat = FlatValues(network)
        self.patterns: list[CsrPattern] = [layer.weights().pattern for layer in network.layers]
        self.links = [
            Link(comm, worker + 1, self.flat, self.patterns, plan.together * batches, measures)
            for worker, batches in enumerate(plan.batches)
        ]
        self._topology_changed = False
        self._encoded: dict[int, Encoded | None] = {}
        self._ended: float | None = None
        self._paused = 0.0

    def turns(self, epoch: int, start: int) -> Iterator[int]:
        """Yield the numbers of the epoch's steps, from 0, after the time since the end of the
        previous epoch's last step was added to the pauses. `start` is not used."""
        if self._ended is not None:
            self._paused += time.perf_counter() - self._ended
        yield from range(self.per_epoch)

    def take(self, turn: int, rate: float, t: int) -> tuple[float, int]:
        """Make step t: answer the workers, wait for gradients, and update the network, unless the
        loss is not finite. Returns the loss and the number of samples."""
        with self.timers("train"):
            start, sent = time.perf_counter(), self.measures.bytes
            waited, loss, samples = self._collect(turn, t)
            if math.isfinite(loss):
                self.network.step_by(self._gradients(t), rate, t)
            self._ended = time.perf_counter()
            self.measures.worked.append(self._ended - start - waited)
            self.measures.stepping += self._ended - start
            self.measures.step_bytes.append(self.measures.bytes - sent)
        return loss, samples

    def _collect(self, turn: int, t: int) -> tuple[float, float, int]:
        """Send the weights, wait for the gradients of step t, and return the seconds waited, the
        loss and the number of samples. `turn` is the step's number in the epoch, from 0."""
        raise NotImplementedError

    def _gradients(self, t: int) -> list[Vector]:
        """The gradients to apply, in the order of `Network.values`."""
        raise NotImplementedError

    def on_change(self, index: int, change: Change) -> None:
        """Note that the topology has changed."""
        self._topology_changed = True

    def refresh(self) -> None:
        """If the topology has changed, read the network's connections and array sizes again."""
        if self._topology_changed:
            self.patterns = [layer.weights().pattern for layer in self.network.layers]
            self.flat = FlatValues(self.network)
            self._encoded = {}
            self._topology_changed = False

    def _answer(self, links: Sequence[Link], step: int) -> None:
        """Send the weights to these workers, and the changes of the topology that each lacks."""
        self.refresh()
        values = self.network.values() if links else []
        for link in links:
            changed, key = None, id(link.patterns)
            if link.patterns is not self.patterns:
                if key not in self._encoded:
                    found = encode(link.patterns, self.patterns)
                    self._encoded[key] = found if found.positions.size else None
                changed = self._encoded[key]
            link.send_step(values, self.flat, self.patterns, changed, step, self._paused)

    def close(self, kind: Kind, step: int) -> None:
        """Make all workers stop (STOP) or train on alone (ALONE) instead of sending new weights.

        Gradients in flight are received first and discarded. Workers that have made all their
        steps get no message if no phase two is planned.
        """
        for link in self.links:
            if link.busy:
                poll_until(link.arrived)
                link.accept()
            if link.turns or self.plan.apart:
                link.send(kind=kind, step=step)
        poll_until(lambda: not [link for link in self.links if not link.is_sent()])


class Synchronous(Master):
    """WASSP: a step waits for all workers and applies the mean of their gradients.

    The mean is weighted by samples, so it is the gradient of all the workers' batches as one.
    Workers whose parts have no batch left in an epoch are left out. Sums are taken in the order of
    the workers: the same seed gives the same result.
    """

    def __init__(self, plan: Plan, network: Network, comm: Any, measures: RunMeasures) -> None:
        super().__init__(plan, network, comm, measures)
        self.per_epoch = max(plan.batches)
        self._mean: Vector = self.links[0].buffer

    def _collect(self, turn: int, t: int) -> tuple[float, float, int]:
        due = [link for link, n in zip(self.links, self.plan.batches, strict=True) if turn < n]
        self._answer(due if t > 1 else [], t - 1)
        waited = poll_until(lambda: not [link for link in due if not link.arrived()])
        headers = [link.accept() for link in due]
        samples = sum(int(header["samples"]) for header in headers)
        loss, self._mean = 0.0, due[0].buffer
        for link, header in zip(due, headers, strict=True):
            share = int(header["samples"]) / samples
            loss += float(header["loss"]) * share
            self.measures.arrived(header)
            link.buffer *= np.float32(share)
            if link is not due[0]:
                self._mean += link.buffer
        return waited, loss, samples

    def _gradients(self, t: int) -> list[Vector]:
        scale_velocity(self.network, self.plan.work.optimizer, self.plan.correction(t))
        return self.flat.views(self._mean)


class Asynchronous(Master):
    """WASAP: a parameter server, where every gradient that arrives is a step.

    Only the worker whose gradient was applied gets new weights; the others keep computing with the
    weights they have. An epoch has as many steps as all parts together have batches.
    """

    def __init__(self, plan: Plan, network: Network, comm: Any, measures: RunMeasures) -> None:
        super().__init__(plan, network, comm, measures)
        self.per_epoch = sum(plan.batches)
        self._served = self.links[0]
        self._next = 0

    def _collect(self, turn: int, t: int) -> tuple[float, float, int]:
        self._answer([self._served] if t > 1 and self._served.turns else [], t - 1)
        waited = poll_until(self._one_arrived)
        header = self._served.accept()
        self.measures.arrived(header)
        self.measures.staleness.append(t - 1 - int(header["step"]))
        return waited, float(header["loss"]), int(header["samples"])

    def _one_arrived(self) -> bool:
        """Find the worker to serve; returns whether there is one. All links are polled, so that
        their messages progress. Of several workers whose gradients have arrived, the next one after
        the one served last is taken."""
        order = [*self.links[self._next :], *self.links[: self._next]]
        ready = [link for link in order if link.busy and link.arrived()]
        if ready:
            self._served = ready[0]
            self._next = self.links.index(ready[0]) + 1
        return bool(ready)

    def _gradients(self, t: int) -> list[Vector]:
        """The served worker's gradient, moved to the connections that the network has by now."""
        link = self._served
        gradients = link.flat.views(link.buffer)
        for number, (old, new) in enumerate(zip(link.patterns, self.patterns, strict=True)):
            if old is not new:
                DW = gradients[2 * number]
                gradients[2 * number], kept = retained(old, new, DW)
                self.measures.entries += DW.size
                self.measures.kept += kept
        return gradients
