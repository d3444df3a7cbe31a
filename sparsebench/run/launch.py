"""Starting a trial's process, or its processes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import BinaryIO

from sparsebench.core.files import writing_to
from sparsebench.core.job import Job
from sparsebench.core.worker import guard, limits, mpiexec, sweep
from sparsebench.core.worker import rank_log as ranks
from sparsebench.run.cgroup import Group

COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "sparsebench.core.worker.__main__")
"""-P keeps the current folder, and what lies there, out of the imports."""


LOGS = ("stdout.log", "stderr.log")


@dataclass
class Launched:
    """A process that leads its own session, our end of its lifeline, and its mark.

    With several processes to a trial it is mpiexec; each of them has the mark and the lifeline.
    """

    process: subprocess.Popen[bytes]
    lifeline: int
    mark: str

    def let_go(self) -> None:
        os.close(self.lifeline)


def launch(job: Job, group: Group | None = None) -> Launched:
    """A process that goes into `group` before it imports anything.

    The job travels as one line of JSON on stdin; what is printed goes to files.

    stdin is a file and not a pipe, so that neither side ever waits for the other. Raises
    StoreError if the folder cannot be written, OSError if there is to be no process.
    """
    with contextlib.ExitStack() as files:
        with writing_to(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
            logs = [files.enter_context((job.folder / name).open("wb")) for name in LOGS]
        return _start(job, group, *logs)


def _start(job: Job, group: Group | None, stdout: BinaryIO, stderr: BinaryIO) -> Launched:
    read_end, write_end = os.pipe()
    mark = secrets.token_hex(8)
    variables = os.environ | limits.environment(job)
    variables |= {guard.LIFELINE: str(read_end), sweep.MARK: mark}
    if job.processes > 1:
        variables[ranks.FOLDER] = str(job.folder.resolve())
    if group is not None:
        variables[guard.GROUP] = str(group.folder)
    try:
        with tempfile.TemporaryFile() as line:
            line.write(json.dumps(job.to_json()).encode() + b"\n")
            line.seek(0)
            process = subprocess.Popen(
                mpiexec.command(job.processes, COMMAND),
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
