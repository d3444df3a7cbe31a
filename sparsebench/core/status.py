"""How a trial can end."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How a trial ended. A record's `cause` may say more."""

    OK = "ok"
    DIVERGED = "diverged"  # the loss became nan or inf
    ERROR = "error"  # an exception; cause: its type
    OUT_OF_MEMORY = "out-of-memory"  # cause: alloc, limit, cgroup, suspected
    TIMEOUT = "timeout"
    CRASHED = "crashed"  # cause: the signal's name, or "exit N without result"
    KILLED = "killed"  # a SIGKILL that was not ours
    SKIPPED = "skipped"  # the data set is not there
    UNSUPPORTED = "unsupported"  # a component cannot do this, or is not installed
    INTERRUPTED = "interrupted"  # Ctrl-C, or the supervisor died


FAILURES = frozenset(
    {Status.DIVERGED, Status.ERROR, Status.OUT_OF_MEMORY, Status.TIMEOUT, Status.CRASHED,
     Status.KILLED}
)  # fmt: skip
"""Statuses that make a run exit with 1, unless the suite expects them."""
