"""What is known of the processes of one trial, as they left it: ranks.jsonl in its folder.

A line is one write, so the order of the lines is that of the events, whoever wrote them: of
several ends the first is the cause of the others. Light.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import append_line
from sparsebench.core.worker.sweep import started

FILE = "ranks.jsonl"
FOLDER = "SPARSEBENCH_ATTEMPT"
"""Environment variable with the folder of the attempt."""

NUMBER = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
"""Environment variables in which one of the MPI libraries tells a process its number."""


def own_number() -> int:
    """Of this process among those of its trial; -1 where nobody says."""
    told = (os.environ.get(name, "") for name in NUMBER)
    return next((int(text) for text in told if text.isdecimal()), -1)


def name_of(rank: int) -> str:
    """How a person knows it."""
    if rank < 0:
        return "one of its processes"
    return "master" if rank == 0 else f"worker {rank}"


@dataclass(frozen=True)
class RankLog:
    """What the process `rank` of a trial leaves in ranks.jsonl; a full disk costs only that."""

    folder: Path
    rank: int

    def began(self, pid: int) -> None:
        self._write({"pid": pid, "start": started(pid)})

    def left(self, *, failed: bool) -> None:
        """It has left the result of the trial."""
        self._write({"left": "failure" if failed else "success"})

    def ended(self, pid: int, code: int, *, orderly: bool) -> None:
        """code     exit code; the negative number of the signal that ended it
        orderly  it had come to the end of its program, together with the others
        """
        self._write({"pid": pid, "code": code, "orderly": orderly})

    def _write(self, line: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            append_line(self.folder / FILE, {"rank": self.rank, **line})
