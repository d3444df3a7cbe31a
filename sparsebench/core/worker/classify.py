"""Maps how an attempt ended to a status, a cause and a line of detail.

`failure` judges an exception in the trial's process; `classify` judges the process from outside.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sparsebench.core.status import Status
from sparsebench.errors import MissingData, SparsebenchError, Unsupported

StopReason = Literal["", "timeout", "limit", "stop"]
"""Why the supervisor ended the process; empty if it did not."""

STOPPED: dict[StopReason, tuple[Status, str, str]] = {
    "timeout": (Status.TIMEOUT, "", "ran longer than its timeout"),
    "limit": (Status.OUT_OF_MEMORY, "limit", "resident memory passed its limit"),
    "stop": (Status.INTERRUPTED, "", "stopped before its end"),
}

NO_DISK = os.EX_IOERR
"""Exit code of a worker that could not even write its result; 120 is Python's own if it cannot
flush stdout."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)

TAIL_LINES = 30
SUSPECT = 0.9
"""If a trial used more than this share of the memory that it could use (`End.room`), a SIGKILL of
unknown origin counts as out of memory."""

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
"""The last messages of Python, C++, LLVM and OpenBLAS when an allocation fails."""


@dataclass(frozen=True, kw_only=True)
class End:
    """What is known about a process that has ended.

    code              exit code; the negative number of the signal that ended it
    stopped           why the supervisor ended it; empty if it did not
    result            content of its result.json; None if there is none that can be used
    malformed         why result.json cannot be used; empty if it can or does not exist
    tail              last lines of its stderr
    rss               resident bytes when the supervisor last sampled them
    room              bytes that it could use: its limit, or the memory available at its start
    oom_killed        whether the kernel killed any process of this machine for memory meanwhile
    group_oom_killed  whether the kernel killed a process of the trial's control group
    who               in an MPI trial, the process that ended before the others
    """

    code: int
    stopped: StopReason = ""
    result: Mapping[str, Any] | None = None
    malformed: str = ""
    tail: str = ""
    rss: int = 0
    room: int | None = None
    oom_killed: bool = False
    group_oom_killed: bool = False
    who: str = ""


def classify(end: End) -> tuple[Status, str, str]:
    """The status, cause and detail (one line) of a trial whose process ended like this."""
    if end.result is not None and end.code >= 0:
        result = end.result
        return Status(result["status"]), result.get("cause", ""), result.get("detail", "")
    if end.stopped:
        return STOPPED[end.stopped]
    status, cause, detail = _unforeseen(end)
    return status, cause, f"{end.who}: {detail or cause}" if end.who else detail


def _unforeseen(end: End) -> tuple[Status, str, str]:
    """As `classify`, for a process that left no usable result and that the supervisor did not
    end."""
    if end.malformed and end.code >= 0:
        return Status.CRASHED, "malformed result", end.malformed
    if end.result is None and end.code in (NO_DISK, 120):
        return Status.INTERRUPTED, "", "its folder could not be written: the disk is full or fails"
    lines = end.tail.strip().splitlines()
    refused = [line for line in lines if _ALLOCATION.search(line)]
    if refused and end.result is None and end.code != -signal.SIGKILL:
        return Status.OUT_OF_MEMORY, "alloc", refused[0]
    if end.code >= 0:
        return Status.CRASHED, f"exit {end.code} without result", lines[-1] if lines else ""
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


class ProcessEnded(Exception):
    """A process that a trainer started has ended by a signal or without a message.

    code  its exit code; the negative number of the signal that ended it
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def failure(error: BaseException, folder: Path) -> dict[str, str]:
    """The `status`, `cause` and `detail` of a record, for an exception.

    A failed disk below the attempt's folder says nothing about the trial, so the trial is
    interrupted and runs again.
    """
    kind, whole = type(error).__name__, str(error)
    line = (whole.strip().splitlines() or [""])[-1]
    refused = disk_failure(error, folder)
    status, cause, detail = Status.ERROR, kind, line
    if isinstance(error, KeyboardInterrupt):
        status, cause, detail = STOPPED["stop"]
    elif any(map(out_of_memory, chain(error))):
        status, cause, detail = Status.OUT_OF_MEMORY, "alloc", f"{kind}: {line}"
    elif refused is not None:
        detail = f"the disk of {folder} failed: {refused.strerror}"
        status, cause = Status.INTERRUPTED, ""
    elif isinstance(error, ProcessEnded):
        status, cause, _ = classify(End(code=error.code))
        detail = whole
    elif isinstance(error, MissingData):
        status, cause, detail = Status.SKIPPED, "", whole
    elif isinstance(error, Unsupported):
        status, cause, detail = Status.UNSUPPORTED, "", whole
    elif isinstance(error, SparsebenchError):
        detail = whole
    else:
        detail = " ".join(filter(None, [line, raised_at(error)]))
    return {"status": status, "cause": cause, "detail": detail}


def raised_at(error: BaseException) -> str:
    """Where an exception was raised, `(my_drop.py:27, in scores)`: the innermost call that is not
    in an installed package; empty if there is none."""
    calls = [
        call for call in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in call.filename and not call.filename.startswith("<")
    ]  # fmt: skip
    if not calls:
        return ""
    last = calls[-1]
    return f"({Path(last.filename).name}:{last.lineno}, in {last.name})"


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


def disk_failure(error: BaseException, folder: Path) -> OSError | None:
    """The first exception in the chain of causes that reports a failed disk, for a file below the
    folder or one that it does not name; None if there is none."""
    for link in chain(error):
        if isinstance(link, OSError) and link.errno in DISK_ERRORS:
            file = link.filename
            if not isinstance(file, str | os.PathLike) or Path(file).is_relative_to(folder):
                return link
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, its causes and its contexts. Needed because compiled code wraps a
    MemoryError in a SystemError."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__]
