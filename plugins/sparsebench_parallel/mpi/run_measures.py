"""The measures of a parallel training: what the master counts and times, and the link's speed."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsebench_parallel.mpi.messages import MASTER, Tag, receive, send

ROUNDS = 20
"""Number of round trips of a small message; a large message makes a quarter as many."""

SMALL = 64
"""Bytes of the message that measures the latency."""

LARGE = 2**20
"""The least bytes of the message that measures the bandwidth, because the time of smaller messages
is mostly latency."""


class RunMeasures:
    """Counts and times of one training, collected at the master.

    computed        seconds of forward and backward for each gradient, at its worker
    worked          seconds of each step at the master, without waiting for gradients
    stepping        seconds of all steps at the master, with waiting
    busy, waited    seconds of all workers, as in FROM_WORKER
    staleness       of each gradient: updates since the weights from which it was computed
    entries, kept   number of entries, and of kept entries, in gradients that RetainValidUpdates
                    changed (see `topology_diff.retained`)
    bytes           bytes of all messages so far; every message is to or from the master
    topology_bytes  those of them that describe changes of the topology
    step_bytes      bytes of each step
    latency, rate   result of `probe_link`
    """

    def __init__(self) -> None:
        self.computed, self.worked = array("d"), array("d")
        self.step_bytes, self.staleness = array("q"), array("q")
        self.entries = self.kept = 0
        self.bytes = self.topology_bytes = 0
        self.stepping = self.busy = self.waited = 0.0
        self.phase_two_seconds: float | None = None
        self.union_connections: int | None = None
        self.latency: float | None = None
        self.rate: float | None = None

    def arrived(self, header: Any) -> None:
        """Record the header of a gradient."""
        self.computed.append(float(header["computed"]))
        self.busy += float(header["busy"])
        self.waited += float(header["waited"])

    def measures(self) -> dict[str, float | int | None]:
        """The measures by name; None if nothing was measured."""
        waiting = self.busy + self.waited
        return {
            "bytes_sent": self.bytes,
            "bytes_sent_per_step": _median(self.step_bytes),
            "topology_bytes_sent": self.topology_bytes,
            "staleness_mean": statistics.fmean(self.staleness) if self.staleness else None,
            "staleness_max": max(self.staleness, default=None),
            "retained_share": self.kept / self.entries if self.entries else None,
            "worker_step_seconds": _median(self.computed),
            "master_step_seconds": _median(self.worked),
            "master_busy_share": sum(self.worked) / self.stepping if self.stepping else None,
            "worker_wait_share": self.waited / waiting if waiting else None,
            "link_latency_seconds": self.latency,
            "link_bytes_per_second": self.rate,
            "phase_two_seconds": self.phase_two_seconds,
            "union_connections": self.union_connections,
        }


def _median(numbers: array[Any]) -> float | int | None:
    return statistics.median(numbers) if numbers else None


def probe_link(comm: Any, other: int, size: int) -> tuple[float, float | None]:
    """Measure the link between this process and rank `other`. Returns the latency, which is the
    seconds that a small message takes one way, and the bytes per second of a message of `size`
    bytes, or LARGE if that is more, after the latency is subtracted. The second is None if the
    large message was not slower than the small one.

    The master and the first worker call it at the same time.
    """
    size = max(size, LARGE)
    small = _one_way(comm, other, SMALL, ROUNDS)
    large = _one_way(comm, other, size, ROUNDS // 4)
    return small, size / (large - small) if large > small else None


def _one_way(comm: Any, other: int, size: int, rounds: int) -> float:
    """Half the median round trip of a message of `size` bytes, in seconds. The first round trip is
    not counted."""
    message, seconds = np.zeros(size, dtype=np.uint8), []
    transfers: tuple[Callable[..., object], ...] = (send, receive)
    if comm.Get_rank() != MASTER:
        transfers = (receive, send)
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for transfer in transfers:
            transfer(comm, message, other, Tag.PROBE)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) / 2
