"""Starting a trial's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from sparsebench.execution import guard, limits
from sparsebench.execution.job import Job

COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "sparsebench.execution.worker")
"""-P keeps the current folder, and what lies there, out of the imports."""


@dataclass
class Launched:
    """A process that leads its own session, and our end of its lifeline."""

    process: subprocess.Popen[bytes]
    lifeline: int

    def let_go(self) -> None:
        os.close(self.lifeline)


def launch(job: Job) -> Launched:
    """The job travels as one line of JSON on stdin; what is printed goes to files.

    stdin is a file and not a pipe, so that neither side ever waits for the other.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    read_end, write_end = os.pipe()
    variables = os.environ | limits.environment(job) | {guard.LIFELINE: str(read_end)}
    try:
        with (
            tempfile.TemporaryFile() as line,
            (job.folder / "stdout.log").open("wb") as stdout,
            (job.folder / "stderr.log").open("wb") as stderr,
        ):
            line.write(json.dumps(job.to_json()).encode() + b"\n")
            line.seek(0)
            process = subprocess.Popen(
                COMMAND,
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
    return Launched(process, write_end)
