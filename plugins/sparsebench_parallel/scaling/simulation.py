"""An epoch with workers and a parameter server, event by event. Light; docs/parallel.md.

A worker computes the gradient of a batch, sends it, and goes on when new values have come. The
server makes one update after the other: of each gradient as it comes, or with a barrier of the
mean of all workers' once they are there. Everything that computes shares the cores evenly, where
there are fewer of them; messages queue at the server's link, one queue each way.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sparsebench_parallel.scaling.costs import Costs
from sparsebench_parallel.scaling.queues import Cores, Link

Watch = Callable[[float, str, int], None]
"""Told each event: when, what (computed, arrived, served, received), and of which worker; with a
barrier, an update is served to the one whose gradient came last."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """cores    shared by all processes; None: one for each
    servers  each with 1 / servers of the parameters, a link and a process of its own
    noise    coefficient of variation of the time to compute a gradient, drawn from `seed`
    """

    workers: int
    synchronous: bool
    cores: float | None = None
    servers: int = 1
    noise: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """seconds    until the last worker has its last values, the topology's update not among them
    applied    gradients
    staleness  mean over the gradients: updates between the values one was computed from and it
    busy       share of the time in which the server works on gradients
    """

    seconds: float
    applied: int
    staleness: float
    busy: float


class Simulation:
    """State between two events."""

    def __init__(self, costs: Costs, setting: Setting, watch: Watch | None) -> None:
        self._costs, self._setting = costs, setting
        self._watch = watch if watch is not None else lambda now, what, worker: None
        self._cores = Cores(setting.cores)
        self._up, self._down = (Link(costs, setting.servers) for _ in range(2))
        self._batches = [deque(sizes) for sizes in costs.batches(setting.workers)]
        self._events: list[tuple[float, int, str, int]] = []
        self._numbers = itertools.count()
        self._waiting: deque[int] = deque()
        self._serving: list[int] = []
        self._began = 0.0
        self._has = [0] * setting.workers
        self._version = self._stale = 0
        self._draws = random.Random(setting.seed)
        self.now = self.busy = 0.0
        self.applied = 0

    def run(self) -> Epoch:
        for worker in range(self._setting.workers):
            self._compute(worker)
        while (at := min(self._cores.next(), self._next())) < math.inf:
            if self._cores.next() <= self._next():
                what, worker = self._cores.finish()
            else:
                _, _, what, worker = heapq.heappop(self._events)
            self.now = at
            self._watch(at, what, worker)
            getattr(self, f"_{what}")(worker)
        return Epoch(
            seconds=self.now,
            applied=self.applied,
            staleness=self._stale / max(1, self.applied),
            busy=self.busy / self.now if self.now else 0.0,
        )

    def _next(self) -> float:
        return self._events[0][0] if self._events else math.inf

    def _at(self, when: float, what: str, worker: int) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what, worker))

    def _compute(self, worker: int) -> None:
        """The next batch, if there is one left."""
        if self._batches[worker]:
            size = self._batches[worker].popleft()
            work = self._costs.compute_seconds(size) * self._disturbance()
            self._cores.start(self.now, work, ("computed", worker))

    def _disturbance(self) -> float:
        """A factor of mean 1."""
        if not self._setting.noise:
            return 1.0
        variance = math.log1p(self._setting.noise**2)
        return self._draws.lognormvariate(-variance / 2, math.sqrt(variance))

    def _computed(self, worker: int) -> None:
        self._at(self._up.send(self.now, self._costs.up_bytes), "arrived", worker)

    def _arrived(self, worker: int) -> None:
        self._waiting.append(worker)
        self._serve()

    def _serve(self) -> None:
        """Begin the next update, if the server is free and there is what it takes."""
        if self._serving or len(self._waiting) < self._needed():
            return
        taken = [self._waiting.popleft() for _ in range(self._needed())]
        self._serving, self._began = taken, self.now
        servers = self._setting.servers
        self._cores.start(
            self.now, self._costs.serve_seconds / servers, ("served", taken[-1]), servers
        )

    def _needed(self) -> int:
        """Gradients of an update: with a barrier, of all who have a batch left in this step."""
        if not self._setting.synchronous:
            return 1
        return max(1, self._costs.taking_part(self._setting.workers, self._version))

    def _served(self, worker: int) -> None:
        taken, self._serving = self._serving, []
        self.busy += self.now - self._began
        self.applied += len(taken)
        self._stale += sum(self._version - self._has[one] for one in taken)
        self._version += 1
        for one in taken:
            self._answer(one)
        self._serve()

    def _answer(self, worker: int) -> None:
        self._has[worker] = self._version
        self._at(self._down.send(self.now, self._costs.down_bytes), "received", worker)

    def _received(self, worker: int) -> None:
        self._compute(worker)


def simulate(costs: Costs, setting: Setting, watch: Watch | None = None) -> Epoch:
    """An epoch: every sample once. The same for the same arguments."""
    return Simulation(costs, setting, watch).run()
