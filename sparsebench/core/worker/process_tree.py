"""The memory of a trial that has children: of all its processes, shared pages counted once.

Looking for children is a read per thread of the trial, 10 us with one thread and 95 us with 17
[measured], so it is done every half second.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sparsebench.core.worker import memory
from sparsebench.core.worker.sweep import started

PERIOD = 0.5
"""Seconds between two looks for children, and between two sums of Pss, which walk page tables."""

URGENT = 0.1
"""Seconds between two sums of Pss while resident memory, counted with repeats, is past a limit."""


class Tree:
    """A process and its descendants, those that lost their parents since they were seen too.

    members   the descendants that live: number -> start in ticks
    rss       bytes of all, pages shared by n counted n times: never less than `pss`
    peak_pss  the largest of what they held `together`; None if there never were children to look at
    cpu_seconds  of the descendants in `members`, when last looked at
    spent     the same of every descendant there ever was: number -> seconds

    adopter   the parent of the process and of the descendants that lost theirs, if there is one
    """

    def __init__(self, leader: int, adopter: int | None = None) -> None:
        self.members: dict[int, int] = {}
        self.rss = 0
        self.peak_pss: int | None = None
        self.cpu_seconds = 0.0
        self.spent: dict[int, float] = {}
        self._leader = leader
        self._roots = [leader] if adopter is None else [leader, adopter]
        self._pss = 0
        self._walked = self._weighed = float("-inf")

    def sample(self, leader_rss: int, now: float) -> None:
        """At most one look for children per `PERIOD`; with children, their memory each time."""
        if now - self._walked >= PERIOD:
            self._walked = now
            self._walk()
        self.rss = leader_rss
        if not self.members:
            return
        for pid in self.members:
            child = memory.read(pid)
            self.rss += child.rss if child is not None else 0
        if now - self._weighed >= PERIOD:
            self._weigh(now)

    def exceeds(self, limit: int, now: float) -> bool:
        """Whether the processes together hold more than `limit` bytes."""
        if not self.members or self.rss <= limit:
            return False
        if now - self._weighed >= URGENT:
            self._weigh(now)
        return self._pss > limit

    def _walk(self) -> None:
        living = {p: start for p, start in self.members.items() if started(p) == start}
        seen, waiting = {self._leader, *living}, [*self._roots, *living]
        while waiting:
            for child in children(waiting.pop()):
                start = started(child)
                if child not in seen and start is not None:
                    seen.add(child)
                    waiting.append(child)
                    living[child] = start
        self.members = living
        spent = {pid: cpu_seconds(pid) for pid in living}
        self.cpu_seconds = sum(spent.values())
        self.spent |= {pid: seconds for pid, seconds in spent.items() if seconds}

    def _weigh(self, now: float) -> None:
        self._weighed = now
        self._pss = together([self._leader, *self.members])
        self.peak_pss = max(self.peak_pss or 0, self._pss)


def children(pid: int) -> list[int]:
    """Of every thread of a process; none where the kernel does not tell."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    except OSError:  # it, or a thread of it, has ended
        pass
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process, without those it waited for; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def together(pids: Iterable[int]) -> int:
    """Bytes that processes hold: what is shared among them once, as their parts of it (Pss).

    Pages of files, mostly libraries, are those of the process with the most, in full as in its
    resident memory. Their Pss depends on strangers that map the same libraries: it rose by
    30 MiB when some ended [measured].
    """
    own, of_files = [0], [0]
    for pid in pids:
        told = _parts(pid)
        in_files = told.get(b"Pss_File", 0)
        own.append(told.get(b"Pss", 0) - in_files)
        of_files.append(_resident_files(pid) if in_files else 0)
    return sum(own) + max(of_files)


def _parts(pid: int) -> dict[bytes, int]:
    """Bytes by name, of smaps_rollup; empty if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()[1:]
    except OSError:
        return {}
    return {line.split(b":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _resident_files(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"RssFile")), 0)
