"""No trial outlives its supervisor: a guard process, started before anything else.

A watching thread would need the GIL, and a serial compiled loop never gives it back. The
guard is a process of its own; it waits on a pipe that only the supervisor holds open, and ends
what the trial started when the supervisor is gone. On Linux it is the host of the trial (`host`).
ConcurrentRuns it is the one started here, in the trial's group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

from sparsebench.core.worker import sweep

LIFELINE = "SPARSEBENCH_LIFELINE"
"""Environment variable with the number of the pipe's read end."""

GROUP = "SPARSEBENCH_CGROUP"
"""Environment variable with the folder of the control group made for the trial, if any."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def start() -> None:
    """Start the guard if the supervisor left a lifeline.

    Forked twice: the guard is nobody's child, so a plugin that waits for all its children
    does not wait for the guard.
    """
    given = os.environ.pop(LIFELINE, None)
    if given is None:
        return
    lifeline = int(given)
    die_with_parent()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            _wait(lifeline)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(lifeline)


def join_group() -> None:
    """Go into the control group made for this trial; the guard, started before, stays outside.

    The supervisor looks whether it came to that.
    """
    folder = os.environ.pop(GROUP, None)
    if folder is not None:
        with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs", "w") as members:
            members.write(str(os.getpid()))


def become_guard() -> None:
    """From here on this process is deaf to requests to end, and known for what it is."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_NAME, ctypes.c_char_p(sweep.GUARD.encode()))


def end_all() -> None:
    """The supervisor is gone: so goes what the trial started, and this process with its group."""
    word = os.environ.get(sweep.MARK)
    if word:
        sweep.kill_marked(word, guards=False)
    os.killpg(0, signal.SIGKILL)


def die_with_parent() -> None:
    """The kernel's own way, where it has one; it does not reach the trial's children."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """From here on a descendant whose parent ends becomes a child of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _wait(lifeline: int) -> None:
    become_guard()
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    end_all()


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
