"""What a trial started goes with it, wherever it went: a mark in the environment finds it.

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
"""What the processes call themselves that end a trial whose supervisor is gone; a trial of
several processes has one for each, and they are not to end each other before they are done."""

ROUNDS = 20
PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two rounds, doubled up to the longest: what is killed needs a moment, on a busy
machine more than one, and may have forked before."""


def kill_marked(word: str, *, guards: bool = True) -> None:
    """End every process that bears the mark. A cleared environment bears none.

    guards  they too
    """
    mark = f"{MARK}={word}".encode()
    for round_ in range(ROUNDS):
        if round_:
            time.sleep(min(PAUSE * 2**round_, LONGEST_PAUSE))
        found = [pid for pid in _pids() if _bears(pid, mark) and (guards or not _guards(pid))]
        if not found:
            return
        for pid in found:
            with _held(pid) as handle:
                if handle is not None and _bears(pid, mark):
                    _kill(handle)


def kill_known(processes: Iterable[tuple[int, int]]) -> None:
    """End these, told by number and start, so that a number used again is nobody's end."""
    signal_known(processes, signal.SIGKILL)


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
