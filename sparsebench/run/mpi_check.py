"""Checks MPI by starting two processes that must find each other. Imports nothing heavy."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sparsebench.core.worker import mpi, processes

PATIENCE = 20.0
"""Seconds to wait; two processes need one second, a few on a busy machine."""

PROGRAM = """
from array import array
from mpi4py import MPI
team = MPI.COMM_WORLD
present = array("q", [0])
team.Allreduce(array("q", [1]), present)
if team.Get_rank() == 0:
    name, version = MPI.get_vendor()
    print("hello", present[0], name, ".".join(map(str, version)), flush=True)
"""


@dataclass(frozen=True)
class HandshakeResult:
    """The result of checking MPI.

    mpiexec  path of mpiexec, or "not found"
    found    the MPI library and the result of the check
    wrong    why trials of several processes cannot run, and what to do; empty if they can
    """

    mpiexec: Path | str
    found: str
    wrong: str = ""


def check_mpi(count: int = 2) -> HandshakeResult:
    """Start `count` processes with mpiexec, and check that they find each other through MPI."""
    starter = mpi.found() or "not found"
    missing = mpi.missing()
    if missing:
        return HandshakeResult(starter, "none", f"it {missing}")
    try:
        said, complaint = _ask(count)
    except subprocess.TimeoutExpired:
        return HandshakeResult(
            starter, "no answer", f"{starter} gave no answer in {PATIENCE:.0f} s"
        )
    words = said.split()
    if words[:1] != ["hello"] or len(words) < 4:
        why = complaint or "said nothing"
        return HandshakeResult(
            starter, "does not work", f"{starter} started no {count} processes: {why}"
        )
    library, version = " ".join(words[2:-1]), words[-1]
    if words[1] != str(count):
        wrong = (
            f"{starter} and mpi4py's library ({library} {version}) are not of one MPI; get one "
            f"with: {mpi.GET}"
        )
        return HandshakeResult(starter, f"{library} {version}", wrong)
    return HandshakeResult(starter, f"{library} {version}, {count} processes found each other")


def _ask(count: int) -> tuple[str, str]:
    """Start the processes and wait for them. Returns the first line of stdout that starts with
    `hello `, and the last line of stderr; empty if there is none. Raises TimeoutExpired after
    `PATIENCE`. No process is left running."""
    mark = secrets.token_hex(8)
    crowded = mpi.environment(count, crowded=True)
    command = mpi.command(count, (sys.executable, "-P", "-c", PROGRAM))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=os.environ | crowded | {processes.MARK: mark},
            start_new_session=True,
        )
        try:
            process.wait(PATIENCE)
        finally:
            _end(process, mark)
        out.seek(0)
        err.seek(0)
        said = [line for line in out.read().decode(errors="replace").splitlines() if line.strip()]
        complaints = err.read().decode(errors="replace").split("\n")
    hello = next((line for line in said if line.startswith("hello ")), "")
    return hello, next((line.strip() for line in reversed(complaints) if line.strip()), "")


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    processes.kill_marked(mark)
