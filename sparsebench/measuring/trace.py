"""The memory of a trial over time, seen from outside: survives whatever ends the trial."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from sparsebench.measuring import memory
from sparsebench.measuring.tree import Tree

NOTABLE = 0.01
"""A sample is written if the memory moved by this share, or a second has passed."""


class Trace:
    """Samples of a process in mem.csv: seconds, rss_bytes, peak_rss_bytes.

    rss   at the last sample
    peak  the largest high-water mark of all samples
    tree  the memory of the process and its children, if it has some
    """

    def __init__(self, pid: int, file: Path) -> None:
        self.rss = 0
        self.peak = 0
        self.swapped = False
        self.tree = Tree(pid)
        self._pid = pid
        self._start = time.monotonic()
        self._written_rss = 0
        self._written_at = -1.0
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._write("seconds,rss_bytes,peak_rss_bytes\n")

    def sample(self) -> None:
        now = memory.read(self._pid)
        if now is None:
            return
        self.rss = now.rss
        self.peak = max(self.peak, now.peak)
        self.swapped = self.swapped or now.swap > 0
        seconds = time.monotonic() - self._start
        self.tree.sample(now.rss, seconds)
        moved = abs(now.rss - self._written_rss) > NOTABLE * self._written_rss
        if moved or seconds - self._written_at >= 1.0:
            self._written_rss, self._written_at = now.rss, seconds
            self._write(f"{seconds:.3f},{now.rss},{now.peak}\n")

    def exceeds(self, limit: int) -> bool:
        """Whether the process, or it and its children together, hold more than `limit` bytes."""
        seconds = time.monotonic() - self._start
        return self.rss > limit or self.tree.exceeds(limit, seconds)

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
