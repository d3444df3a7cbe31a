"""Between mpiexec and each process of a trial: a process that waits for it, and notes its end.

mpiexec ends all when one is missing, and its exit code does not tell which, or why. A parent is
told by the kernel. It is the guard of its process as well (see `guard`): it waits on the lifeline
too. Killed itself, it takes its process with it. Light.

What mpiexec's proxy listens to (the socket of the process manager, stdout and stderr) stays open
here until the end is noted: the proxy kills this process, too, as soon as it sees one close.
"""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path
from typing import NoReturn

from sparsebench.core.worker import guard, rank_log

PERIOD = 50
"""Milliseconds between two looks, where the system does not tell of the end of a process."""


class MonitoredRank:
    """A process that has a minder; made by `start`."""

    def __init__(self, log: rank_log.RankLog, tell: int) -> None:
        self.log = log
        self._tell = tell

    def finished(self) -> None:
        """The last word of a process that goes on to its end: what comes now is no accident."""
        os.write(self._tell, b".")


def start() -> MonitoredRank:
    """Returns in a child of this process, which from now on only waits."""
    lifeline = int(os.environ.pop(guard.LIFELINE))
    log = rank_log.RankLog(Path(os.environ.pop(rank_log.FOLDER)), rank_log.own_number())
    guard.die_with_parent()
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        _mind(pid, lifeline, told, log)
    guard.die_with_parent()
    os.close(lifeline)
    os.close(told)
    return MonitoredRank(log, tell)


def _mind(pid: int, lifeline: int, told: int, log: rank_log.RankLog) -> NoReturn:
    guard.become_guard()
    log.began(pid)
    code = _wait(pid, lifeline)
    orderly = _was_told(told)
    log.ended(pid, code, orderly=orderly)
    os._exit(0 if orderly and code == 0 else max(code, 1))


def _was_told(pipe: int) -> bool:
    os.set_blocking(pipe, False)  # a child of the process may still hold the other end
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def _wait(pid: int, lifeline: int) -> int:
    """The exit code of the process, or the negative number of its signal."""
    watched = select.poll()
    watched.register(lifeline, select.POLLIN)
    pause: int | None = PERIOD
    with contextlib.suppress(AttributeError, OSError):
        watched.register(os.pidfd_open(pid), select.POLLIN)
        pause = None
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if any(number == lifeline for number, _ in watched.poll(pause)):
            guard.end_all()
