"""How a trial ended: from what is left of its process to a status and a cause."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sparsebench.core.status import Status

StopReason = Literal["", "timeout", "limit", "stop"]
"""Why we ended the process, if we did."""

NO_DISK = os.EX_IOERR
"""What a worker exits with that could not even write its result; 120 is what Python itself
exits with when it cannot write the last of stdout."""

TAIL_LINES = 30
SUSPECT = 0.9
"""A SIGKILL by a stranger at this share of the memory there is was for want of memory."""

_ALLOCATION = re.compile(
    "|".join(
        (
            r"^(?:\w+\.)*_?\w*MemoryError\b",
            r"std::bad_alloc",
            r"LLVM ERROR: (?:out of memory|.*[Aa]llocat)",
            r"OpenBLAS.*(?:[Mm]emory allocation|too many memory regions|[Cc]annot allocate)",
            r"[Cc]annot allocate memory",
        )
    ),
    re.MULTILINE,
)
"""What Python, C++, LLVM and OpenBLAS say last when they get no memory."""


@dataclass(frozen=True, kw_only=True)
class End:
    """What is known of a process that has ended.

    code    exit code; the negative number of the signal that ended it
    result  what the worker wrote at its end, if it came that far
    malformed  why that cannot be used, if it cannot
    tail    the last lines of its stderr
    rss     resident bytes at the last sample
    room    bytes it could have had: its limit, or what was available at its start
    oom_killed  the kernel has killed for want of memory, somewhere on this machine
    group_oom_killed  it has killed in the trial's own control group
    who     the one of a trial's several processes that ended like this, before the others did
    """

    code: int
    asked: StopReason = ""
    result: Mapping[str, Any] | None = None
    malformed: str = ""
    tail: str = ""
    rss: int = 0
    room: int | None = None
    oom_killed: bool = False
    group_oom_killed: bool = False
    who: str = ""


def classify(end: End) -> tuple[Status, str, str]:
    """Status, cause and a line of detail."""
    status, cause, detail = _classify(end)
    of_one = end.who and not end.asked and not (end.result is not None and end.code >= 0)
    return status, cause, f"{end.who}: {detail or cause}" if of_one else detail


def _classify(end: End) -> tuple[Status, str, str]:
    if end.result is not None and end.code >= 0:
        result = end.result
        return Status(result["status"]), result.get("cause", ""), result.get("detail", "")
    if end.asked:
        return _stopped(end.asked)
    if end.malformed and end.code >= 0:
        return Status.CRASHED, "malformed result", end.malformed
    if end.result is None and end.code in (NO_DISK, 120):
        return Status.INTERRUPTED, "", "its folder could not be written: the disk is full or fails"
    refused = _refused_allocation(end.tail)
    if refused and end.result is None and end.code != -signal.SIGKILL:
        return Status.OUT_OF_MEMORY, "alloc", refused
    if end.code >= 0:
        cause = f"exit {end.code} without result"
        return Status.CRASHED, cause, _last_line(end.tail)
    if end.code != -signal.SIGKILL:
        return Status.CRASHED, signal_name(-end.code), ""
    if end.group_oom_killed:
        return Status.OUT_OF_MEMORY, "cgroup", "the kernel killed it at the limit of its group"
    if end.oom_killed or (end.room is not None and end.rss > SUSPECT * end.room):
        return Status.OUT_OF_MEMORY, "suspected", "killed when memory was short"
    return Status.KILLED, "SIGKILL", "killed by someone else"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stopped(asked: StopReason) -> tuple[Status, str, str]:
    if asked == "timeout":
        return Status.TIMEOUT, "", "ran longer than its timeout"
    if asked == "limit":
        return Status.OUT_OF_MEMORY, "limit", "resident memory passed its limit"
    return Status.INTERRUPTED, "", "stopped before its end"


def _refused_allocation(tail: str) -> str:
    """The line that says so, or nothing."""
    return next((line for line in tail.splitlines() if _ALLOCATION.search(line)), "")


def _last_line(tail: str) -> str:
    lines = tail.strip().splitlines()
    return lines[-1] if lines else ""
