"""Between the supervisor and a trial: a process that adopts what the trial orphans, and ends it.

Linux gives an orphan to its nearest ancestor that asks for orphans (PR_SET_CHILD_SUBREAPER).
This process asks, and it is the parent of the trial's process, or of mpiexec. So all that a trial
starts stays below it, whatever group, session or environment it makes for itself. When the trial's
process ends, or the supervisor closes the lifeline or is gone, it kills and reaps all of it, and
ends the way that the trial's process ended.

The supervisor itself cannot do this: it may be a notebook, whose other processes are none of ours,
it may run several trials at once, and it may be killed. Nor can the trial's process: what it
orphans by ending goes to an ancestor. Killed itself, the host takes only the trial's process along;
the supervisor then looks for the rest by its mark (`sweep`). Light, and without threads.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
from typing import NoReturn

from sparsebench.core.worker import guard, sweep

HERE = sys.platform == "linux"
"""Whether trials have a host; elsewhere they have a guard alone."""

COMMAND = (sys.executable, "-P", "-m", "sparsebench.core.worker.host")
"""Starts and hosts the command that follows it."""

PATIENCE = 10.0
"""Seconds for what is killed to end: a process may be stuck in the kernel."""

PAUSE = 20
"""Milliseconds between two rounds of killing, unless a child ends before."""


def start() -> None:
    """Returns in a child of this process, which from now on is its host.

    Nothing happens where the supervisor left no lifeline.
    """
    given = os.environ.pop(guard.LIFELINE, None)
    if given is not None:
        lifeline = int(given)
        _fork(lifeline)
        os.close(lifeline)


def main() -> None:
    _fork(int(os.environ[guard.LIFELINE]))
    os.execvp(sys.argv[1], sys.argv[1:])


def _fork(lifeline: int) -> None:
    """Returns in the child, which leads a session of its own: signals to it spare the host."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, nobody could wait
    guard.adopt_orphans()
    pid = os.fork()
    if pid:
        _Host(pid, lifeline).run()
    os.setsid()
    guard.die_with_parent()


class _Host:
    """The process above the trial's process `pid`."""

    def __init__(self, pid: int, lifeline: int) -> None:
        self._pid = pid
        self._code: int | None = None
        self._lifeline = lifeline
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        guard.become_guard()
        signal.signal(signal.SIGTERM, self._pass_on)

    def run(self) -> NoReturn:
        while self._reap() and self._code is None and not self._let_go(None):
            pass
        self._end_all()
        _end_like(-signal.SIGKILL if self._code is None else self._code)

    def _pass_on(self, number: int, frame: object) -> None:
        """The supervisor asks the trial to end."""
        if self._code is not None:
            return
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:  # it leads no group yet
            os.kill(self._pid, number)

    def _reap(self) -> bool:
        """Reap the children that have ended, adopted ones too. Whether there are others."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                if pid == self._pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return False

    def _let_go(self, pause: int | None) -> bool:
        """Wait for a signal or the end of the lifeline, `pause` milliseconds at most. Whether the
        lifeline has ended."""
        watched = select.poll()
        watched.register(self._woken, select.POLLIN)
        if pause is None:
            watched.register(self._lifeline, select.POLLIN)
        ready = [number for number, _ in watched.poll(pause)]
        if self._woken in ready:
            os.read(self._woken, 4096)
        return self._lifeline in ready

    def _end_all(self) -> None:
        """Kill the children until there are none: those of a killed one are then children too.

        Their numbers are theirs until they are reaped here.
        """
        deadline = time.monotonic() + PATIENCE
        while self._reap() and time.monotonic() < deadline:
            for child in sweep.children(os.getpid()):
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            self._let_go(PAUSE)


def _end_like(code: int) -> NoReturn:
    """With this exit code; by this signal if it is negative."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
