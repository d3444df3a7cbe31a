"""Samples a trial's memory from outside and detects when it exceeds its limit.

The samples survive however the trial ends. If a control group is available, the kernel enforces the
limit too (`memory_cgroup`).
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from sparsebench.core.worker import memory
from sparsebench.core.worker.memory import Tree
from sparsebench.core.worker.processes import started

SAMPLE_SECONDS = 0.05
"""Seconds between two samples; a trial is killed at the first sample above its limit. No wait of
the supervisor or of an executor is longer."""

NOTABLE = 0.01
"""A sample is written if memory has changed by more than this fraction since the last written one,
or if that is a second old."""


class Trace:
    """Memory samples of a trial's process, written to a csv file; none before `follow`.

    pid      the process; None before `follow`
    rss      resident bytes at the last sample
    peak     its high-water mark in bytes, as the kernel reports it
    swapped  whether the process had memory in swap at any sample
    tree     memory of the process and its descendants together, if it has any
    ranks    pids of an MPI trial's processes, whose `pid` is mpiexec's; set by the supervisor.
             `rss` and `peak` are then sums over them, with shared pages counted in each
    adopter  pid of the process that becomes the parent of orphans: the host (see
             `core.worker.guard_processes`), or the process itself
    file     the csv file, which is replaced
    """

    def __init__(self, adopter: int, file: Path) -> None:
        self.pid: int | None = None
        self._began: int | None = None
        self.rss = 0
        self.peak = 0
        self.swapped = False
        self.tree = Tree(adopter)
        self.ranks: tuple[int, ...] = ()
        self._adopter = adopter
        self._largest = 0
        self._peaks: dict[int, int] = {}
        self._start = time.monotonic()
        self._written_rss = 0
        self._written_at = -1.0
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._write("seconds,rss_bytes,peak_rss_bytes\n")

    def follow(self, pid: int) -> None:
        self.pid, self._began = pid, started(pid)
        self.tree = Tree(pid, self._adopter)

    def seen(self) -> list[tuple[int, int]]:
        """Pid and start time of the process and of every descendant that was seen."""
        own = [] if self.pid is None or self._began is None else [(self.pid, self._began)]
        return [*own, *self.tree.members.items()]

    def sample(self) -> None:
        leader = memory.read(self.pid) if self.pid is not None else None
        if self.pid is None or leader is None:
            return
        seconds = time.monotonic() - self._start
        self.tree.sample(leader.rss, seconds)
        read = {pid: memory.read(pid) for pid in self.ranks} or {self.pid: leader}
        own = {pid: one for pid, one in read.items() if one is not None}
        if len(own) < len(read):  # the trial is ending: a partial sum would mislead
            return
        self.rss = sum(one.rss for one in own.values())
        self._largest = max(one.rss for one in own.values())
        self.swapped = self.swapped or any(one.swap > 0 for one in own.values())
        for pid, one in own.items():
            self._peaks[pid] = max(self._peaks.get(pid, 0), one.peak)
        self.peak = sum(self._peaks[pid] for pid in own)
        moved = abs(self.rss - self._written_rss) > NOTABLE * self._written_rss
        if moved or seconds - self._written_at >= 1.0:
            self._written_rss, self._written_at = self.rss, seconds
            peak = sum(one.peak for one in own.values())
            self._write(f"{seconds:.3f},{self.rss},{peak}\n")

    def exceeds(self, limit: int) -> bool:
        """Whether one of the trial's processes, or the process and its descendants together, hold
        more than `limit` bytes."""
        seconds = time.monotonic() - self._start
        return self._largest > limit or self.tree.exceeds(limit, seconds)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: str) -> None:
        """Write a sample. A full disk ends the trace, not the trial."""
        if self._file is None:
            return
        try:
            os.write(self._file, line.encode())
        except OSError:
            self.close()
