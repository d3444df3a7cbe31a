"""The memory of a trial over time, seen from outside: survives whatever ends the trial."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from sparsebench.core.worker import memory
from sparsebench.core.worker.memory import Tree
from sparsebench.core.worker.processes import started

NOTABLE = 0.01
"""A sample is written if the memory moved by this share, or a second has passed."""


class Trace:
    """Samples of a process in mem.csv: seconds, rss_bytes, peak_rss_bytes. None before `follow`.

    pid    the process, once it is known

    rss    at the last sample
    peak   the largest high-water mark of all samples
    tree   the memory of the process and its children, if it has some
    ranks  descendants that are the trial, started by a process that is not: then `rss` and `peak`
           are sums over them, shared pages counted by each
    """

    def __init__(self, adopter: int, file: Path) -> None:
        """adopter  the parent of the process and of what it orphans, or itself"""
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
        """Number and start of the process and its descendants."""
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
        if len(own) < len(read):  # a trial that has lost one is at its end: not to be mistaken
            return
        peak = self._add_up(own)
        moved = abs(self.rss - self._written_rss) > NOTABLE * self._written_rss
        if moved or seconds - self._written_at >= 1.0:
            self._written_rss, self._written_at = self.rss, seconds
            self._write(f"{seconds:.3f},{self.rss},{peak}\n")

    def exceeds(self, limit: int) -> bool:
        """Whether the process, or it and its children together, hold more than `limit` bytes."""
        seconds = time.monotonic() - self._start
        return self._largest > limit or self.tree.exceeds(limit, seconds)

    def _add_up(self, found: Mapping[int, memory.Reading]) -> int:
        """Take note of what these hold; the sum of their present high-water marks."""
        self.rss = sum(one.rss for one in found.values())
        self._largest = max((one.rss for one in found.values()), default=0)
        self.swapped = self.swapped or any(one.swap > 0 for one in found.values())
        for pid, one in found.items():
            self._peaks[pid] = max(self._peaks.get(pid, 0), one.peak)
        self.peak = sum(self._peaks[pid] for pid in found)
        return sum(one.peak for one in found.values())

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: str) -> None:
        """A full disk ends the trace, not the trial: its record will tell of the disk."""
        if self._file is None:
            return
        try:
            os.write(self._file, line.encode())
        except OSError:
            self.close()
