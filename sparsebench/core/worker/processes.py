"""Reads facts about processes from /proc (start time, children, processor time) and kills processes
reliably.

A trial may start processes that leave its process group (with a session of their own) and its tree
(when their parent ends). They still have the environment that they were started with, so they are
found by a mark in it if no host has adopted them. Free of heavy imports, because the host imports
this before anything else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator

MARK = "SPARSEBENCH_TRIAL"
"""Environment variable that has a unique value for each trial."""

PROCESSES = "SPARSEBENCH_PROCESSES"
"""Environment variable with the number of processes of an MPI trial."""

GUARD = "sparse-guard"
"""Name of the processes that kill a trial whose supervisor is gone: hosts, guards and monitors.
A trial may have several, which must not kill each other."""

ROUNDS = 20
"""The most rounds of killing; all their pauses take less than a second."""

PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two rounds of killing, doubled up to the longest: a killed process takes a
moment to end, longer on a busy machine, and may have forked before."""


def proc_file(pid: int | str, name: str) -> bytes:
    """The content of a file in /proc/PID; empty if the process has ended or it cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def started(pid: int) -> int | None:
    """Start time of a process in ticks since boot; None if it has ended, even if its parent has not
    waited for it yet."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def cpu_seconds(pid: int) -> float:
    """Processor time of a process in seconds, without that of its children; 0 if there is none."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def children(pid: int) -> list[int]:
    """The pids of the children of all threads of a process; empty if it has ended. Each thread
    costs a read: 10 us with one thread, 95 us with 17 [measured]."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:  # it or a thread of it has ended, or the kernel has no such file
        own = str(pid).encode()
        return [one for one in _pids() if (fields := _stat(one)) and fields[1] == own]
    return found


def oldest(pids: Iterable[int]) -> int | None:
    """The pid of the process that started first, of those that still run; None if none does."""
    found = [(start, pid) for pid in pids if (start := started(pid)) is not None]
    return min(found)[1] if found else None


def kill_marked(word: str, *, guards: bool = True) -> None:
    """Kill every process whose environment has MARK with the value `word`, until none is left or
    after ROUNDS rounds.

    guards  whether hosts, guards and monitors are killed too
    """
    mark = f"{MARK}={word}".encode()
    killed: dict[int, int] = {}

    def marked(pid: int) -> bool:
        return mark in proc_file(pid, "environ").split(b"\0")

    def guard(pid: int) -> bool:
        return proc_file(pid, "comm").strip() == GUARD.encode()

    for _ in _rounds():
        found = [pid for pid in _pids() if marked(pid) and (guards or not guard(pid))]
        for pid in found:
            with _handle(pid) as handle:
                if handle is not None and marked(pid):
                    killed[pid] = started(pid) or 0
                    _send(handle, signal.SIGKILL)
        # a process that is being killed loses its environment first, and lives for a moment
        if not found and not _living(killed.items()):
            return


def kill_known(processes: Iterable[tuple[int, int]]) -> None:
    """Kill these processes, until none is left or after ROUNDS rounds. They are identified by pid
    and start time, so that a recycled pid is never killed."""
    left = list(processes)
    for _ in _rounds():
        left = _living(left)
        if not left:
            return
        signal_known(left, signal.SIGKILL)


def signal_known(processes: Iterable[tuple[int, int]], number: signal.Signals) -> None:
    """Send a signal to processes identified by pid and start time. Others that have one of the pids
    by now are left alone."""
    for pid, start in processes:
        with _handle(pid) as handle:
            if handle is not None and started(pid) == start:
                _send(handle, number)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on: state, parent, ...; empty if it has ended."""
    return proc_file(pid, "stat").rpartition(b")")[2].split()


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _living(processes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(pid, start) for pid, start in processes if started(pid) == start]


def _rounds() -> Iterator[int]:
    for number in range(ROUNDS):
        if number:
            time.sleep(min(PAUSE * 2**number, LONGEST_PAUSE))
        yield number


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """A pidfd of the process that has this pid now; None if there is none."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _send(handle: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(handle, number)
