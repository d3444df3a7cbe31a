"""Measures the resident memory of a process, and of a process with all its descendants."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sparsebench.core.worker.processes import children, cpu_seconds, proc_file, started

HAS_PROC = Path("/proc/self/status").exists()

SEARCH_SECONDS = 0.5
"""Seconds between two searches for children, and between two sums of Pss, which walk page
tables."""

URGENT_SECONDS = 0.1
"""Seconds between two sums of Pss while resident memory, with shared pages counted repeatedly,
exceeds a limit."""


class Reading(NamedTuple):
    """Memory of a process in bytes.

    rss   resident now
    peak  the most that was resident since the last `reset_peak`, or since the start if that is
          impossible; without /proc the same as rss
    swap  swapped out; 0 without /proc
    """

    rss: int
    peak: int
    swap: int = 0


def read(pid: int | None = None) -> Reading | None:
    """The memory of a process, by default of this one; None if it has ended."""
    if not HAS_PROC:
        return _read_with_psutil(pid)
    found = _sizes("self" if pid is None else pid, "status")
    if b"VmRSS" not in found or b"VmHWM" not in found:
        return None
    return Reading(found[b"VmRSS"], found[b"VmHWM"], found.get(b"VmSwap", 0))


def reset_peak() -> bool:
    """Restart the peak of this process from now; False if that is impossible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def forget_references() -> bool:
    """Make `referenced` start again from now. Returns False if the system does not count
    references."""
    try:
        Path("/proc/self/clear_refs").write_text("1")
    except OSError:
        return False
    return True


def referenced() -> int | None:
    """Bytes of resident memory, files and libraries left out, that this process has read or written
    since `forget_references`, whenever it was allocated. None if the system does not tell."""
    total, anonymous, known = 0, False, False
    for line in proc_file("self", "smaps").splitlines():
        words = line.split()
        if not words[0].endswith(b":"):
            anonymous = len(words) > 4 and words[4] == b"0"  # no file's inode
        elif words[0] == b"Referenced:":
            known = True
            total += int(words[1]) * 1024 if anonymous else 0
    return total if known else None


def oom_kills() -> int:
    """How many processes of this machine the kernel has killed for memory since boot; 0 if
    unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def total_pss(pids: Iterable[int]) -> int:
    """Bytes that processes hold together, with shared pages counted once: the sum of their
    proportional set sizes (Pss).

    File pages, mostly libraries, count as resident memory of the process with the most of them.
    Their Pss depends on unrelated processes that map the same libraries: it rose by 30 MiB when
    some of those ended [measured].
    """
    own, of_files = 0, 0
    for pid in pids:
        parts = _sizes(pid, "smaps_rollup")
        in_files = parts.get(b"Pss_File", 0)
        own += parts.get(b"Pss", 0) - in_files
        if in_files:
            of_files = max(of_files, _sizes(pid, "status").get(b"RssFile", 0))
    return own + of_files


class Tree:
    """A process and its descendants, including those that lost their parents after they were seen.

    members   the living descendants at the last search: pid -> start time in ticks since boot
    rss       resident bytes of all, with shared pages counted repeatedly; at least `together`
    peak_pss  the largest value of `together` in bytes; None if no children were ever seen
    spent     pid -> processor seconds of every descendant that was ever seen
    """

    def __init__(self, leader: int, adopter: int | None = None) -> None:
        """leader   pid of the process
        adopter  pid of the process that becomes the parent of orphaned descendants, if any
        """
        self.members: dict[int, int] = {}
        self.rss = 0
        self.peak_pss: int | None = None
        self.spent: dict[int, float] = {}
        self._leader = leader
        self._roots = [leader] if adopter is None else [leader, adopter]
        self._pss = 0
        self._walked = self._weighed = float("-inf")

    def sample(self, leader_rss: int, now: float) -> None:
        """Search for descendants, at most once per `SEARCH_SECONDS`, and read the memory of the
        known ones.

        leader_rss  resident bytes of the process itself        now  seconds of a monotonic clock
        """
        if now - self._walked >= SEARCH_SECONDS:
            self._walked = now
            self._walk()
        self.rss = leader_rss
        for pid in self.members:
            child = read(pid)
            self.rss += child.rss if child is not None else 0
        if self.members and now - self._weighed >= SEARCH_SECONDS:
            self._sum_pss(now)

    def exceeds(self, limit: int, now: float) -> bool:
        """Whether the processes together hold more than `limit` bytes."""
        if not self.members or self.rss <= limit:
            return False
        if now - self._weighed >= URGENT_SECONDS:
            self._sum_pss(now)
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
        self.spent |= {pid: seconds for pid in living if (seconds := cpu_seconds(pid))}

    def _sum_pss(self, now: float) -> None:
        self._weighed = now
        self._pss = total_pss([self._leader, *self.members])
        self.peak_pss = max(self.peak_pss or 0, self._pss)


def _sizes(pid: int | str, name: str) -> dict[bytes, int]:
    """Sizes in bytes by name from a file of /proc/PID; empty if the process has ended."""
    fields = [line.split() for line in proc_file(pid, name).splitlines()]
    return {line[0][:-1]: int(line[1]) * 1024 for line in fields if line[2:] == [b"kB"]}


def _read_with_psutil(pid: int | None) -> Reading | None:
    import psutil

    try:
        rss = int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
    return Reading(rss=rss, peak=rss)
