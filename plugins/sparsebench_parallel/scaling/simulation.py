"""Simulates an epoch with workers and a parameter server, event by event; see docs/parallel.md.
Free of heavy imports.

A worker computes the gradient of a batch, sends it, and continues when new values have arrived. The
server makes one update after the other: for each gradient that arrives, or with a barrier for the
mean of all workers' gradients. If there are too few cores, all computing processes share them
evenly. Messages queue at the server's link, with one queue for each direction.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

Event = tuple[float, int, Callable[[int], None], int]
"""When the event happens, a number that breaks ties, and a function to call with the worker. For a
message the first is a time; for a job on a core it is a reading of the clock of work done (see
`Simulation`)."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs of one network trained in one way. Seconds are of a process that has its own core.

    samples           number of samples in an epoch
    batch             the most samples in a step of one worker
    step_seconds      seconds of a worker for a whole batch, in proportion to its samples
    serve_seconds     seconds of the server for one update
    up_bytes          bytes of a gradient
    down_bytes        bytes of the values
    latency           seconds of any message
    bandwidth         bytes per second of any link
    topology_seconds  seconds of the server for the topology updates of an epoch
    topology_bytes    bytes of these updates to each worker
    """

    samples: int
    batch: int
    step_seconds: float
    serve_seconds: float
    up_bytes: float
    down_bytes: float
    latency: float
    bandwidth: float
    topology_seconds: float = 0.0
    topology_bytes: float = 0.0

    @property
    def steps(self) -> int:
        """The number of steps in an epoch with one worker."""
        return math.ceil(self.samples / self.batch)

    def cycle_seconds(self, servers: int = 1, size: float | None = None) -> float:
        """Seconds of a worker from receiving values to receiving the next ones, if nothing has to
        wait, for `size` samples; by default a whole batch."""
        share = 1.0 if size is None else size / self.batch
        there_and_back = (self.up_bytes + self.down_bytes) / self.bandwidth + 2 * self.latency
        return self.step_seconds * share + self.serve_seconds / servers + there_and_back

    def batches(self, workers: int) -> list[list[int]]:
        """Sizes of the batches of each worker; the samples are divided evenly."""
        bounds = [worker * self.samples // workers for worker in range(workers + 1)]
        return [
            [min(self.batch, end - at) for at in range(begin, end, self.batch)]
            for begin, end in pairwise(bounds)
        ]

    def epoch_end_seconds(self, workers: int, servers: int = 1) -> float:
        """Seconds of an epoch's topology updates, and of sending the changes to the workers."""
        sent = workers * self.topology_bytes / self.bandwidth
        latency = self.latency if self.topology_bytes else 0.0
        return self.topology_seconds / servers + sent / servers + latency


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The setting to simulate.

    synchronous  whether a step waits for the gradients of all workers
    cores        number of cores that all processes share; None: one for each process
    servers      number of servers, each with 1 / servers of the parameters and its own link and
                 process
    """

    workers: int
    synchronous: bool
    cores: float | None = None
    servers: int = 1


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The result of a simulated epoch.

    seconds    until the last worker has its last values, without topology updates
    applied    number of gradients that the server applied
    staleness  mean number of updates between the values that a gradient was computed from and
               its use
    busy       share of the time in which the server works
    """

    seconds: float
    applied: int
    staleness: float
    busy: float


class Simulation:
    """A simulation of one epoch, and its state between two events.

    All jobs on cores run at the same rate, so one clock of work done is enough: a job ends when
    that clock has advanced by its work.
    """

    def __init__(self, costs: Costs, setting: Setting) -> None:
        self._costs, self._setting = costs, setting
        self._batches = [deque(sizes) for sizes in costs.batches(setting.workers)]
        self._counts = sorted(map(len, self._batches))
        self._messages: list[Event] = []
        self._jobs: list[Event] = []  # sorted by the clock of work done
        self._numbers = itertools.count()
        self._load, self._done = 0, 0.0
        self._link_free = {"up": 0.0, "down": 0.0}
        self._waiting: deque[int] = deque()
        self._serving: list[int] = []
        self._began = 0.0
        self._has = [0] * setting.workers
        self._version = self._stale = self._applied = 0
        self._now = self._busy = 0.0

    def run(self) -> Epoch:
        for worker in range(self._setting.workers):
            self._compute(worker)
        while self._messages or self._jobs:
            cores = self._setting.cores
            rate = 1.0 if cores is None or self._load <= cores else cores / self._load
            ends = arrives = math.inf
            if self._jobs:
                ends = self._now + max(0.0, self._jobs[0][0] - self._done) / rate
            if self._messages:
                arrives = self._messages[0][0]
            if ends <= arrives:
                self._now = ends
                self._done, _, follow, worker = heapq.heappop(self._jobs)
            else:
                self._done += (arrives - self._now) * rate
                self._now, _, follow, worker = heapq.heappop(self._messages)
            follow(worker)
        return Epoch(
            seconds=self._now,
            applied=self._applied,
            staleness=self._stale / max(1, self._applied),
            busy=self._busy / self._now if self._now else 0.0,
        )

    def _start(self, work: float, follow: Callable[[int], None], worker: int) -> None:
        heapq.heappush(self._jobs, (self._done + work, next(self._numbers), follow, worker))

    def _send(self, way: str, size: float, follow: Callable[[int], None], worker: int) -> None:
        """Send a message of `size` bytes in the direction `way`, "up" to the servers or "down". It
        waits for those before it at each server's link, which carries a part of it; the worker's
        link carries all parts."""
        seconds = size / self._costs.bandwidth
        free = max(self._link_free[way], self._now) + seconds / self._setting.servers
        self._link_free[way] = free
        arrives = max(free, self._now + seconds) + self._costs.latency
        heapq.heappush(self._messages, (arrives, next(self._numbers), follow, worker))

    def _compute(self, worker: int) -> None:
        """Start the next batch, if there is one left."""
        if self._batches[worker]:
            self._load += 1
            size = self._batches[worker].popleft()
            work = self._costs.step_seconds * size / self._costs.batch
            self._start(work, self._computed, worker)

    def _computed(self, worker: int) -> None:
        self._load -= 1
        self._send("up", self._costs.up_bytes, self._arrived, worker)

    def _arrived(self, worker: int) -> None:
        self._waiting.append(worker)
        self._serve()

    def _serve(self) -> None:
        """Start the next update if the server is free and has the gradients: one, or with a
        barrier those of all workers that have a batch left in this step."""
        needed = 1
        if self._setting.synchronous:
            left = len(self._counts) - bisect.bisect_right(self._counts, self._version)
            needed = max(1, left)
        if self._serving or len(self._waiting) < needed:
            return
        self._serving = [self._waiting.popleft() for _ in range(needed)]
        self._began, servers = self._now, self._setting.servers
        self._load += servers
        self._start(self._costs.serve_seconds / servers, self._served, self._serving[-1])

    def _served(self, worker: int) -> None:
        self._load -= self._setting.servers
        served, self._serving = self._serving, []
        self._busy += self._now - self._began
        self._applied += len(served)
        self._stale += sum(self._version - self._has[one] for one in served)
        self._version += 1
        for one in served:
            self._has[one] = self._version
            self._send("down", self._costs.down_bytes, self._compute, one)
        self._serve()


def simulate(costs: Costs, setting: Setting) -> Epoch:
    """Simulate an epoch, in which each sample is used once. Equal arguments give equal results."""
    return Simulation(costs, setting).run()
