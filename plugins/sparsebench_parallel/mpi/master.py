"""The master of synchronous and asynchronous training: its links and its replies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import Change, CsrPattern
from sparsebench.core.training.steps import Timers
from sparsebench_parallel.mpi.flat_values import FlatValues
from sparsebench_parallel.mpi.link import Link
from sparsebench_parallel.mpi.messages import Kind
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.polling import until
from sparsebench_parallel.mpi.run_measures import RunMeasures
from sparsebench_parallel.mpi.topology_diff import Encoded, encode


class Master:
    """Base class: the `Steps` of the master's training loop.

    Weights are sent at the start of the next step, not at the end of a step: topology changes and
    evaluations between two steps are then done, and no worker computes during untimed work.
    """

    def __init__(self, plan: Plan, network: Network, comm: Any, figures: RunMeasures) -> None:
        self.timers = Timers()
        self.network = network
        self.figures = figures
        self.flat = FlatValues(network)
        self.patterns: list[CsrPattern] = [layer.weights().pattern for layer in network.layers]
        self.links = [
            Link(comm, worker + 1, self.flat, self.patterns, plan.turns(worker))
            for worker in range(plan.options.workers)
        ]
        self._apart = plan.apart
        self._moved = False
        self._encoded: dict[int, Encoded | None] = {}
        self._counted = 0
        self._ended: float | None = None
        self._paused = 0.0

    def begin(self) -> None:
        """Post receives for the first gradients; all processes build the same network."""
        for link in self.links:
            link.listen()

    @property
    def per_epoch(self) -> int:
        raise NotImplementedError

    def take(self, turn: int, rate: float, t: int) -> tuple[float, int]:
        raise NotImplementedError

    def turns(self, epoch: int, start: int) -> Iterator[int]:
        """Numbers of the epoch's steps. Adds the pause since the last step of the epoch before."""
        if self._ended is not None:
            self._paused += time.perf_counter() - self._ended
        yield from range(self.per_epoch)

    def moved(self, index: int, change: Change) -> None:
        """The topology has changed."""
        self._moved = True

    def close(self, kind: Kind, step: int) -> None:
        """Tell all workers to stop, or to continue alone, instead of sending new weights.

        Gradients in flight are received first and discarded.
        """
        for link in self.links:
            if link.busy:
                until(link.arrived)
                link.taken()
            if link.turns or self._apart:
                link.tell(kind, step)
        until(lambda: not [link for link in self.links if not link.idle()])

    @property
    def bytes(self) -> int:
        return sum(link.bytes for link in self.links)

    @property
    def topology_bytes(self) -> int:
        return sum(link.topology_bytes for link in self.links)

    def refresh(self) -> None:
        """Update the patterns and the flat layout after a change of topology."""
        if self._moved:
            self.patterns = [layer.weights().pattern for layer in self.network.layers]
            self.flat = FlatValues(self.network)
            self._encoded = {}
            self._moved = False

    def changed_for(self, link: Link) -> Encoded | None:
        """The topology changes that a worker has not received; None if it is up to date."""
        if link.patterns is self.patterns:
            return None
        key = id(link.patterns)
        if key not in self._encoded:
            found = encode(link.patterns, self.patterns)
            self._encoded[key] = found if found.positions.size else None
        return self._encoded[key]

    def _answer(self, links: Sequence[Link], step: int) -> None:
        self.refresh()
        values = self.network.values() if links else []
        for link in links:
            changed = self.changed_for(link)
            link.answer(values, self.flat, self.patterns, changed, step, self._paused)

    def _stepped(self, start: float, waited: float) -> None:
        """Record time and bytes of the step that began at `start`."""
        self._ended = time.perf_counter()
        taken, counted = self._ended - start, self.bytes
        self.figures.stepped(taken - waited, taken, counted - self._counted)
        self._counted = counted
