"""What processes share: cores, and one way of a server's link."""

from __future__ import annotations

import heapq
import itertools
import math

from sparsebench_parallel.scaling.costs import Costs


class Cores:
    """Jobs that run at once, each at the rate 1 or at an even share of the cores.

    All run at the same rate, so one clock of work done is enough: a job ends when that clock has
    advanced by its work.
    """

    def __init__(self, count: float | None) -> None:
        self._count = count
        self._load = 0
        self._now = self._done = 0.0
        self._jobs: list[tuple[float, int, int, tuple[str, int]]] = []
        self._numbers = itertools.count()

    def start(self, now: float, work: float, job: tuple[str, int], copies: int = 1) -> None:
        """`copies` processes do this at once, `work` seconds of a core each."""
        self._done += (now - self._now) * self._rate
        self._now = now
        heapq.heappush(self._jobs, (self._done + work, next(self._numbers), copies, job))
        self._load += copies

    def next(self) -> float:
        """When the next job ends, if none is started before."""
        if not self._jobs:
            return math.inf
        return self._now + max(0.0, self._jobs[0][0] - self._done) / self._rate

    def finish(self) -> tuple[str, int]:
        """End the next job."""
        self._now = self.next()
        self._done, _, copies, job = heapq.heappop(self._jobs)
        self._load -= copies
        return job

    @property
    def _rate(self) -> float:
        if self._count is None or self._load <= self._count:
            return 1.0
        return self._count / self._load


class Link:
    """One way of a server's link: messages pass one after the other, and arrive `latency` later.

    The sender's own link passes the parts for all servers.
    """

    def __init__(self, costs: Costs, servers: int) -> None:
        self._costs = costs
        self._servers = servers
        self._free = 0.0

    def send(self, now: float, size: float) -> float:
        """When a message of `size` bytes, begun now, is there."""
        seconds = size / self._costs.bandwidth
        self._free = max(self._free, now) + seconds / self._servers
        return max(self._free, now + seconds) + self._costs.latency
