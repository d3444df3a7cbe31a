"""The processes above a trial that kill it when its supervisor is gone.

The supervisor alone holds the write end of a pipe, the lifeline. When it closes the pipe or dies, a
process that waits on the other end kills everything that the trial started. A thread of the trial
could not do this: it would need the GIL, which a compiled loop may never release.

host     On Linux, the parent of the trial's process or of mpiexec. Linux gives an orphan to its
         nearest ancestor that asks for orphans (PR_SET_CHILD_SUBREAPER), and the host asks. So all
         that a trial starts stays below the host, whatever process group, session or environment
         it creates. When the trial's process ends, the host kills and reaps the rest, and ends
         with the same exit code or signal. The supervisor cannot be the host: it may be a notebook
         with other children, it supervises several trials at once, and it may be killed. If the
         host is killed, only the trial's process dies with it; the supervisor then finds the
         others by their mark (`processes.kill_marked`).
guard    On other systems, a process beside the trial that kills the trial's process group.
monitor  In an MPI trial, the parent of each process, below mpiexec. mpiexec ends all processes when
         one is missing and does not report which, or why. The monitor writes the end of its process
         into ranks.jsonl. Until then it keeps open what mpiexec's proxy listens to (the socket of
         the process manager, stdout, stderr), because the proxy kills the monitor when one closes.

This module starts no threads, and imports nothing that takes much memory or time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from sparsebench.core.worker import processes

if TYPE_CHECKING:
    from sparsebench.core.worker.mpi import RankLog

HAS_HOST = sys.platform == "linux"
"""Whether trials have a host; on other systems they have a guard."""

COMMAND = (sys.executable, "-P", "-m", "sparsebench.core.worker.guard_processes")
"""Start of a command line: it makes a host and runs the command that follows below it."""

LIFELINE = "SPARSEBENCH_LIFELINE"
"""Environment variable with the number of the pipe's read end."""

GROUP = "SPARSEBENCH_CGROUP"
"""Environment variable with the folder of the control group made for the trial, if any."""

PATIENCE = 10.0
"""Seconds that the host waits for killed processes, of which one may be stuck in the kernel."""

PAUSE = 20
"""Milliseconds between two rounds of killing, unless a child ends earlier."""

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36


def start() -> None:
    """Put a host above this process and return in its child; or start a guard beside it. Does
    nothing without a lifeline."""
    number = os.environ.pop(LIFELINE, None)
    if number is None:
        return
    lifeline = int(number)
    if HAS_HOST:
        _start_host(lifeline)
    else:
        child = os.fork()
        if child == 0:
            # forked twice: a plugin that waits for all its children does not wait for the guard
            if os.fork() == 0:
                _become_guard()
                with contextlib.suppress(OSError):
                    os.read(lifeline, 1)
                _kill_trial()
            os._exit(0)
        os.waitpid(child, 0)
    os.close(lifeline)


def main() -> None:
    """Make a host, and run the command given as arguments below it. The command inherits the
    lifeline, for the monitors of its processes."""
    _start_host(int(os.environ[LIFELINE]))
    os.execvp(sys.argv[1], sys.argv[1:])


def start_monitor(log: RankLog) -> int:
    """Fork this process of an MPI trial, so that it has a monitor.

    The parent becomes the monitor and never returns; the child returns and goes on with the trial.

    log  where the monitor writes the begin and the end of the child

    Returns the write end of a pipe: a byte written to it announces an orderly end.
    """
    lifeline = int(os.environ.pop(LIFELINE))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    finished, finish = os.pipe()
    pid = os.fork()
    if pid:
        os.close(finish)
        _monitor(pid, lifeline, finished, log)
    die_with_parent()
    os.close(lifeline)
    os.close(finished)
    return finish


def join_group() -> None:
    """Enter the trial's control group, if there is one; the host stays outside. The supervisor
    checks whether it worked."""
    folder = os.environ.pop(GROUP, None)
    if folder is not None:
        with contextlib.suppress(OSError), open(f"{folder}/cgroup.procs", "w") as members:
            members.write(str(os.getpid()))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, if it can; its own children are
    not included."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start_host(lifeline: int) -> None:
    """Fork: the parent becomes the host and never returns. Returns in the child, which leads a
    session of its own, so that signals to its process group do not reach the host."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, nobody could wait
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid:
        _host(_Parent(pid, lifeline))
    os.setsid()
    die_with_parent()


class _Parent:
    """This process while it waits until its child `pid` ends or the lifeline closes.

    code  exit code of the child, or the negative number of the signal that ended it; None while it
          runs
    """

    def __init__(self, pid: int, lifeline: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self._lifeline = lifeline
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _become_guard()

    def wait(self) -> None:
        while self.reap() and self.code is None and not self.pause(None):
            pass

    def reap(self) -> bool:
        """Reap children that have ended, adopted ones too. Returns whether others are left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                if pid == self.pid:
                    self.code = os.waitstatus_to_exitcode(status)
        return False

    def pause(self, milliseconds: int | None) -> bool:
        """Wait for a signal, at most so many milliseconds. With None, wait without a limit until a
        signal comes or the lifeline closes, and return whether the lifeline closed; else False."""
        watched = select.poll()
        watched.register(self._woken, select.POLLIN)
        if milliseconds is None:
            watched.register(self._lifeline, select.POLLIN)
        ready = [number for number, _ in watched.poll(milliseconds)]
        if self._woken in ready:
            os.read(self._woken, 4096)
        return self._lifeline in ready


def _host(parent: _Parent) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def pass_on(number: int, frame: object) -> None:
        """Pass the supervisor's request to end, SIGTERM, on to the trial's process group."""
        if parent.code is not None:
            return
        try:
            os.killpg(parent.pid, number)
        except ProcessLookupError:  # it leads no group yet
            os.kill(parent.pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    parent.wait()
    # Kill the children until there are none: those of a killed one become children too. Their pids
    # cannot be reused before they are reaped here.
    deadline = time.monotonic() + PATIENCE
    while parent.reap() and time.monotonic() < deadline:
        for child in processes.children(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        parent.pause(PAUSE)
    code = -signal.SIGKILL if parent.code is None else parent.code
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _monitor(pid: int, lifeline: int, finished: int, log: RankLog) -> NoReturn:
    parent = _Parent(pid, lifeline)
    log.began(pid)
    parent.wait()
    if parent.code is None:
        _kill_trial()
    os.set_blocking(finished, False)  # a child of the process may still hold the other end
    orderly = False
    with contextlib.suppress(BlockingIOError):
        orderly = bool(os.read(finished, 1))
    log.ended(pid, parent.code, orderly=orderly)
    os._exit(0 if orderly and parent.code == 0 else max(parent.code, 1))


def _become_guard() -> None:
    """Ignore SIGTERM, SIGINT and SIGHUP from here on, and take the process name GUARD."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_NAME, ctypes.c_char_p(processes.GUARD.encode()))


def _kill_trial() -> NoReturn:
    """The supervisor is gone: kill what the trial started, and this process with its group."""
    word = os.environ.get(processes.MARK)
    if word:
        processes.kill_marked(word, guards=False)
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    if HAS_HOST:
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    main()
