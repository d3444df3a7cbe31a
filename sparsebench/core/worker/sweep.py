"""What a trial started goes with it where no host saw to that: a mark in the environment finds it.

A process that made a session of its own left the group, and one whose parent ended left the
tree; both still have the environment they were started with. Light: the guard uses it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator

MARK = "SPARSEBENCH_TRIAL"
"""Environment variable with a word that no other trial has."""

GUARD = "sparse-guard"
"""What the processes call themselves that end a trial whose supervisor is gone: hosts, guards and
minders. A trial may have several, and they are not to end each other before they are done."""

ROUNDS = 20
PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two rounds, doubled up to the longest: what is killed needs a moment, on a busy
machine more than one, and may have forked before."""


def kill_marked(word: str, *, guards: bool = True) -> None:
    """End every process that bears the mark. A cleared environment bears none.

    guards  they too
    """
    mark = f"{MARK}={word}".encode()
    ending: dict[int, int] = {}
    for _ in _rounds():
        found = [pid for pid in _pids() if _bears(pid, mark) and (guards or not _guards(pid))]
        for pid in found:
            with _held(pid) as handle:
                if handle is not None and _bears(pid, mark):
                    ending[pid] = started(pid) or 0
                    _kill(handle)
        if not found and not _living(ending.items()):
            return


def kill_known(processes: Iterable[tuple[int, int]]) -> None:
    """End these, told by number and start, so that a number used again is nobody's end."""
    left = list(processes)
    for _ in _rounds():
        left = _living(left)
        if not left:
            return
        signal_known(left, signal.SIGKILL)


def _rounds() -> Iterator[int]:
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(min(PAUSE * 2**round_, LONGEST_PAUSE))
        yield round_


def _living(processes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """A process that is being ended loses its environment first, and lives for a moment."""
    return [(p, start) for p, start in processes if started(p) == start]


def signal_known(processes: Iterable[tuple[int, int]], number: signal.Signals) -> None:
    for pid, start in processes:
        with _held(pid) as handle:
            if handle is not None and started(pid) == start:
                _kill(handle, number)


def started(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, *fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if state in (b"Z", b"X") else int(fields[18])


def children(pid: int) -> list[int]:
    """Of a process with one thread."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as told:
            return [int(word) for word in told.read().split()]
    except OSError:  # not in every kernel
        return [child for child in _pids() if _parent(child) == pid]


def oldest(pids: Iterable[int]) -> int | None:
    """Of those that have not ended."""
    found = [(start, pid) for pid in pids if (start := started(pid)) is not None]
    return min(found)[1] if found else None


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _bears(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:
        return False


def _guards(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm", "rb") as name:
            return name.read().strip() == GUARD.encode()
    except OSError:
        return False


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """A handle on exactly the process that has this number now; None if there is none."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _kill(handle: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(handle, number)
