"""Trials of several processes, started together by mpiexec on one machine.

Each process, a rank, writes its events to ranks.jsonl in the attempt's folder. A line is one write,
so lines are in the order of the events: of several failures, the first caused the others.

Free of heavy imports.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import resource
import shutil
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparsebench.core.files import append_line
from sparsebench.core.worker.processes import PROCESSES, started

if TYPE_CHECKING:
    from sparsebench.core.worker.meter import Meter

GET = 'pip install "sparsebench[mpi]"'

LOCAL_ONLY = {"HYDRA_LAUNCHER": "fork", "HYDRA_USE_LOCALHOST": "1"}
"""MPICH: start the processes on this machine, also within a batch job on several."""

SHARING = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
"""MPICH: a waiting process yields its core at once instead of polling 1,000 times, for more
processes than cores."""

FILE = "ranks.jsonl"
FOLDER = "SPARSEBENCH_ATTEMPT"
"""Environment variable with the attempt's folder."""

NUMBER = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
"""Environment variables in which an MPI library gives a process its number, the rank."""

FIRST_PAUSE, LONGEST_PAUSE = 1e-5, 2e-3
"""Seconds between two polls for a message; the pause doubles up to the longest."""

ECHO = 0.5
"""Seconds before a failed message counts as this process's own error: if its partner has died,
mpiexec kills this process earlier."""


# --- starting ------------------------------------------------------------------------


def found() -> Path | None:
    """The mpiexec beside this interpreter, which belongs to its MPI library, or the one on the
    PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    if os.access(beside, os.X_OK):
        return beside
    elsewhere = shutil.which("mpiexec")
    return Path(elsewhere) if elsewhere is not None else None


def missing() -> str:
    """Why a trial cannot have several processes here, and what to do; empty if it can."""
    needs = []
    if importlib.util.find_spec("mpi4py") is None:
        needs.append("mpi4py, not installed")
    if found() is None:
        needs.append("mpiexec, neither beside this Python nor on the PATH")
    return f"needs {' and '.join(needs)}; get it with: {GET}" if needs else ""


def command(count: int, program: Sequence[str]) -> list[str]:
    """The command that starts `count` processes of `program` by mpiexec. If there is no mpiexec, it
    starts one process, which reports that."""
    starter = found()
    if count == 1 or starter is None:
        return [*program]
    return [str(starter), "-n", str(count), *program]


def environment(count: int, *, crowded: bool) -> dict[str, str]:
    """The variables for `count` processes.

    crowded  whether they have more threads than there are cores
    """
    return {PROCESSES: str(count), **LOCAL_ONLY, **(SHARING if crowded else {})}


# --- the log -------------------------------------------------------------------------


def name_of(rank: int) -> str:
    """The name of a process in messages; a negative rank is unknown."""
    if rank < 0:
        return "one of its processes"
    return "master" if rank == 0 else f"worker {rank}"


class RankLog(NamedTuple):
    """Appends events of process `rank` to ranks.jsonl. A full disk loses only these lines."""

    folder: Path
    rank: int

    @classmethod
    def of_this_process(cls) -> RankLog:
        """The log of this process. Its rank is -1 if the MPI library does not give it in the
        environment. Removes FOLDER from the environment."""
        numbers = (os.environ.get(name, "") for name in NUMBER)
        rank = next((int(text) for text in numbers if text.isdecimal()), -1)
        return cls(Path(os.environ.pop(FOLDER)), rank)

    def began(self, pid: int) -> None:
        self._append({"pid": pid, "start": started(pid)})

    def left(self, *, failed: bool) -> None:
        """Log that this process has written the trial's result."""
        self._append({"left": "failure" if failed else "success"})

    def ended(self, pid: int, code: int, *, orderly: bool) -> None:
        """Log the end of a process; called by its monitor.

        code     exit code; the negative number of the signal that ended it
        orderly  whether it reached the end of its program together with the others
        """
        self._append({"pid": pid, "code": code, "orderly": orderly})

    def _append(self, line: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            append_line(self.folder / FILE, {"rank": self.rank, **line})


# --- messages ------------------------------------------------------------------------


class MpiTeam:
    """A `training.work.Team` of all processes that mpiexec started.

    Messages are bytes and arrays of numbers; nothing is pickled. A waiting process yields its core.
    Raises ImportError or RuntimeError if mpi4py finds no library to load.
    """

    def __init__(self) -> None:
        import mpi4py

        mpi4py.rc.finalize = False  # that waits for all, and one that failed must not wait
        from mpi4py import MPI

        self.error: type[Exception] = MPI.Exception
        self._mpi = MPI
        self.comm: Any = MPI.COMM_WORLD
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()

    def library(self) -> str:
        """Name and version of the MPI library: `MPICH 5.0.2`."""
        name, version = self._mpi.get_vendor()
        return f"{name} {'.'.join(map(str, version))}"

    def share(self, line: bytes) -> bytes:
        """Send the line of the first process to all; returns it in each. All processes have to call
        this."""
        length = array("q", [len(line)])
        _wait(self.comm.Ibcast(length, root=0))
        buffer = bytearray(line) if self.rank == 0 else bytearray(length[0])
        _wait(self.comm.Ibcast(buffer, root=0))
        return bytes(buffer)

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """Send the numbers of each process to the first. Returns a row per process there, and an
        empty list in the others. All processes have to call this."""
        mine, count = array("d", numbers), len(numbers)
        rows = array("d", bytes(8 * count * self.size)) if self.rank == 0 else None
        _wait(self.comm.Igather(mine, rows, root=0))
        if rows is None:
            return []
        return [list(rows[at : at + count]) for at in range(0, len(rows), count)]

    def finish(self) -> None:
        """Wait until all processes have called this, without a time limit, and end MPI."""
        _wait(self.comm.Ibarrier())
        self._mpi.Finalize()

    def abort(self, code: int) -> None:
        """End all processes of the trial, this one too."""
        self.comm.Abort(code)


def _wait(request: Any) -> None:
    pause = FIRST_PAUSE
    while not request.Test():
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


# --- costs ---------------------------------------------------------------------------

BYTES = ("net_peak_bytes", "peak_rss_bytes", "baseline_rss_bytes")
COLUMNS = (*BYTES, "cpu_seconds", "exact")


def own_costs(meter: Meter) -> list[float]:
    """The costs of this process in the order of `COLUMNS`; NaN where unknown."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    sizes = (meter.net_peak_bytes(), meter.peak_rss_bytes(), meter.baseline)
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    return [*(math.nan if size is None else float(size) for size in sizes), seconds, meter.exact]


def add_up(result: Mapping[str, Any], rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The fields of a record with the costs of all processes instead of the first one's.

    rows  the `own_costs` of each process

    Each process has its peak at another moment, so the sum of the peaks is at least the peak of the
    sum. `settings.ranks` has the costs of each.
    """
    each = [{name: _plain(name, x) for name, x in zip(COLUMNS, row, strict=True)} for row in rows]
    sums = {name: _plain(name, math.fsum(row[i] for row in rows)) for i, name in enumerate(COLUMNS)}
    peaks = {name: sums[name] for name in ("net_peak_bytes", "peak_rss_bytes", "cpu_seconds")}
    settings = {
        "exact": all(one.pop("exact") for one in each),
        "baseline_rss_bytes": sums["baseline_rss_bytes"],
        "ranks": each,
    }
    return {
        **result,
        "measures": {**result["measures"], **peaks},
        "settings": {**result["settings"], **settings},
    }


def _plain(name: str, value: float) -> float | None:
    """A whole number of bytes, or seconds; None if unknown."""
    if math.isnan(value):
        return None
    return round(value) if name in BYTES else value
