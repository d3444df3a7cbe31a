"""Starts the process or the processes of a trial, and ends them.

On Linux, a host is the parent of the trial's process, or of the mpiexec that starts several; it
ends all that the trial started (see `core.worker.guard_processes`).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import BinaryIO

from sparsebench.core.files import writing_to
from sparsebench.core.job import Job
from sparsebench.core.worker import guard_processes, limits, mpi, processes
from sparsebench.run.memory_cgroup import Group

COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "sparsebench.core.worker.__main__")
"""Starts the process of a trial; -P keeps the current folder out of the import path."""


LOGS = ("stdout.log", "stderr.log")

STUCK = guard_processes.PATIENCE + 5.0
"""Seconds after which a host that was told to end its trial, and has not, is killed."""


@dataclass
class Launched:
    """A started trial.

    process   leads its own session: the host, or without a host the trial's process or mpiexec
    lifeline  file descriptor, our end of a pipe; the trial's processes are killed when it closes
    mark      value of an environment variable that all the trial's processes inherit
    """

    process: subprocess.Popen[bytes]
    lifeline: int
    mark: str
    _let_go_at: float | None = None

    def child(self) -> int | None:
        """Pid of the trial's process or of mpiexec, the oldest child of the host; None if it has
        not been started yet."""
        if not guard_processes.HAS_HOST:
            return self.process.pid
        return processes.oldest(processes.children(self.process.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the group of `process`; if that is a host, it passes the signal on to
        the trial or to mpiexec."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill the trial and all that it started. Without a host, the process group is killed. A
        host does it when the lifeline closes; if this is called again more than STUCK seconds
        later, the host itself is killed, and the trial's process with it."""
        self.close_lifeline()
        overdue = time.monotonic() - (self._let_go_at or 0.0) > STUCK
        if overdue or not guard_processes.HAS_HOST:
            self.signal(signal.SIGKILL)

    def close_lifeline(self) -> None:
        if self._let_go_at is None:
            self._let_go_at = time.monotonic()
            os.close(self.lifeline)


def launch(job: Job, group: Group | None = None) -> Launched:
    """Start a trial's process, which enters the control group `group` before it imports anything.

    The process reads the job as one line of JSON on stdin and writes its output to files. stdin is
    a file, not a pipe, so that neither side waits for the other. Raises StoreError if the job's
    folder cannot be written, OSError if the process cannot be started.
    """
    with contextlib.ExitStack() as files:
        with writing_to(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
            logs = [files.enter_context((job.folder / name).open("wb")) for name in LOGS]
        return _start(job, group, *logs)


def _start(job: Job, group: Group | None, stdout: BinaryIO, stderr: BinaryIO) -> Launched:
    read_end, write_end = os.pipe()
    command = mpi.command(job.processes, COMMAND)
    mark = secrets.token_hex(8)
    variables = os.environ | limits.environment(job)
    variables |= {guard_processes.LIFELINE: str(read_end), processes.MARK: mark}
    if job.processes > 1:
        variables[mpi.FOLDER] = str(job.folder.resolve())
    if group is not None:
        variables[guard_processes.GROUP] = str(group.folder)
    try:
        with tempfile.TemporaryFile() as line:
            line.write(json.dumps(job.to_json()).encode() + b"\n")
            line.seek(0)
            above = (
                guard_processes.COMMAND if guard_processes.HAS_HOST and job.processes > 1 else ()
            )
            process = subprocess.Popen(
                [*above, *command],
                stdin=line,
                stdout=stdout,
                stderr=stderr,
                env=variables,
                pass_fds=(read_end,),
                start_new_session=True,
            )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    return Launched(process, write_end, mark)
