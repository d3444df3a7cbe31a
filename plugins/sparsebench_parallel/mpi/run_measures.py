"""What the master counts and times, and the measures that come of it."""

from __future__ import annotations

import statistics
import time
from array import array
from typing import Any

import numpy as np

from sparsebench_parallel.mpi.messages import MASTER, Tag, receive, send

Measure = float | int | None

ROUNDS = 20
"""Round trips of a small message; a quarter as many of a large one."""

SMALL = 64
"""Bytes of the message whose way takes the latency."""

LARGE = 2**20
"""Bytes at least of the one whose way takes the rate: a smaller one takes little else."""


class RunMeasures:
    """Of one training.

    computed, worked  seconds: of each gradient at its worker, of each step at the master, which
                      is from arrival to applied, without waiting
    """

    def __init__(self) -> None:
        self.computed, self.worked = array("d"), array("d")
        self.step_bytes, self.staleness = array("q"), array("q")
        self.entries = self.kept = 0
        self.bytes = self.topology_bytes = 0
        self.taken = self.busy = self.waited = 0.0
        self.phase_two_seconds: float | None = None
        self.union_connections: int | None = None
        self.latency: float | None = None
        self.rate: float | None = None

    def arrived(self, told: Any) -> None:
        """A gradient's header."""
        self.computed.append(float(told["computed"][0]))
        self.busy += float(told["busy"][0])
        self.waited += float(told["waited"][0])

    def stepped(self, worked: float, taken: float, moved: int) -> None:
        """A step: the master's work in it, all its seconds, and bytes since the last one."""
        self.worked.append(worked)
        self.taken += taken
        self.step_bytes.append(moved)

    def retained(self, entries: int, kept: int) -> None:
        self.entries += entries
        self.kept += kept

    def measures(self) -> dict[str, Measure]:
        """Unknown where there was nothing of the kind."""
        stale = self.staleness
        waiting = self.busy + self.waited
        return {
            "bytes_sent": self.bytes,
            "bytes_sent_per_step": _median(self.step_bytes),
            "topology_bytes_sent": self.topology_bytes,
            "staleness_mean": statistics.fmean(stale) if stale else None,
            "staleness_max": max(stale) if stale else None,
            "retained_share": self.kept / self.entries if self.entries else None,
            "worker_step_seconds": _median(self.computed),
            "master_step_seconds": _median(self.worked),
            "master_busy_share": sum(self.worked) / self.taken if self.taken else None,
            "worker_wait_share": self.waited / waiting if waiting else None,
            "link_latency_seconds": self.latency,
            "link_bytes_per_second": self.rate,
            "phase_two_seconds": self.phase_two_seconds,
            "union_connections": self.union_connections,
        }


def _median(numbers: array[Any]) -> Measure:
    return statistics.median(numbers) if numbers else None


def probe_link(comm: Any, other: int, size: int) -> tuple[float, float | None]:
    """Seconds that a small message takes one way, and bytes per second of one of `size` bytes,
    LARGE at least, that latency aside; None where the difference is lost in noise. Both ends
    call it, the master and the first worker."""
    size = max(size, LARGE)
    small = _one_way(comm, other, SMALL, ROUNDS)
    large = _one_way(comm, other, size, ROUNDS // 4)
    return small, size / (large - small) if large > small else None


def _one_way(comm: Any, other: int, size: int, rounds: int) -> float:
    """Half the median round trip; the first is not counted."""
    message, seconds = np.zeros(size, dtype=np.uint8), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        if comm.Get_rank() == MASTER:
            send(comm, message, other, Tag.PROBE)
            receive(comm, message, other, Tag.PROBE)
        else:
            receive(comm, message, other, Tag.PROBE)
            send(comm, message, other, Tag.PROBE)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) / 2
