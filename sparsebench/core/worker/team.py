"""The processes of one trial, as one of them sees them: over MPI, which only they import.

What travels are bytes and arrays of numbers; nothing is pickled. Waiting leaves the core to those
that are waited for.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import Any

from sparsebench.core.worker.error_status import chain
from sparsebench.core.worker.rank_log import name_of

FIRST_PAUSE, LONGEST_PAUSE = 1e-5, 2e-3
"""Seconds between two looks for a message; the pause doubles up to the longest."""

ECHO = 0.5
"""Seconds until a failed message is believed to be a fault of this process: one whose partner
has died is ended by mpiexec before."""


class MpiTeam:
    """A `training.work.Team` of all that mpiexec started. Made once, before anything is measured.

    Raises ImportError or RuntimeError where mpi4py finds no library to load.
    """

    def __init__(self) -> None:
        import mpi4py

        mpi4py.rc.finalize = False  # that waits for all, and one that failed is not to wait
        from mpi4py import MPI

        self._mpi = MPI
        self.comm: Any = MPI.COMM_WORLD
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()

    @property
    def name(self) -> str:
        return name_of(self.rank)

    def library(self) -> str:
        """`MPICH 5.0.2`."""
        name, version = self._mpi.get_vendor()
        return f"{name} {'.'.join(map(str, version))}"

    def share(self, line: bytes) -> bytes:
        """What the first has, to all of them."""
        length = array("q", [len(line)])
        self._patiently(self.comm.Ibcast(length, root=0))
        buffer = bytearray(line) if self.rank == 0 else bytearray(length[0])
        self._patiently(self.comm.Ibcast(buffer, root=0))
        return bytes(buffer)

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """A row from each, at the first; the others get none."""
        mine, count = array("d", numbers), len(numbers)
        rows = array("d", bytes(8 * count * self.size)) if self.rank == 0 else None
        self._patiently(self.comm.Igather(mine, rows, root=0))
        if rows is None:
            return []
        return [list(rows[at : at + count]) for at in range(0, len(rows), count)]

    def finish(self) -> None:
        """Leave together."""
        self._patiently(self.comm.Ibarrier())
        self._mpi.Finalize()

    def abort(self, code: int) -> None:
        """End all of them, this one too."""
        self.comm.Abort(code)

    def hear_out(self, error: BaseException) -> None:
        """Where a message failed, time to be ended for what happened to another process."""
        if any(isinstance(link, self._mpi.Exception) for link in chain(error)):
            time.sleep(ECHO)

    def _patiently(self, request: Any) -> None:
        pause = FIRST_PAUSE
        while not request.Test():
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
