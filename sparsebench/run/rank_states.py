"""What is known of the processes of one trial, from the log that they leave: ranks.jsonl. Light."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebench.core.worker.mpi import FILE, name_of
from sparsebench.core.worker.processes import started
from sparsebench.store.models import RANK
from sparsebench.store.safe_files import Damaged, read_lines

LARGEST = 2**20
"""Bytes of it that are looked at: three short lines of each process."""

KILLED = (9, 255)
"""What mpiexec exits with when a process that it started, or its proxy, was ended by SIGKILL. Of
MPICH."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a trial.

    living    number -> start in ticks, of those whose end is not told
    begun     the same of all
    ended     how many ends are told
    broken    the rank and code of the first that ended otherwise than all together
    failed    one has left a result that says what went wrong, before any ended like that
    """

    living: dict[int, int] = field(default_factory=dict)
    begun: dict[int, int] = field(default_factory=dict)
    ended: int = 0
    broken: tuple[int, int] | None = None
    failed: bool = False

    @property
    def first_to_end(self) -> str:
        """Its name, if one ended before the others did; else nothing."""
        return name_of(self.broken[0]) if self.broken is not None and not self.failed else ""

    @property
    def over(self) -> bool:
        """Whether nothing more is to come: all have ended, or one is missing to the others."""
        gone = bool(self.begun) and all(started(p) != start for p, start in self.living.items())
        return gone or self.failed or self.broken is not None

    def code(self, of_mpiexec: int) -> int:
        """The exit code that tells how the trial ended.

        mpiexec's own tells little: whoever is missing first, it ends all the others. It counts
        where nobody could tell more, because what watches over a process was killed with it.
        """
        if self.failed:
            return 1
        if self.broken is not None:
            return self.broken[1]
        if self.begun and not self.living:
            return 0
        return -9 if self.begun and of_mpiexec in KILLED else of_mpiexec


def read(folder: Path) -> Ranks:
    """As told until now. Lines that are none are passed over: they are the trial's word."""
    living: dict[int, int] = {}
    begun: dict[int, int] = {}
    ended, broken, failed = 0, None, False
    for line in _lines(folder):
        if "start" in line and "pid" in line:
            living[line["pid"]] = begun[line["pid"]] = line["start"]
        elif "code" in line and "pid" in line:
            ended += 1
            living.pop(line["pid"], None)
            if broken is None and (line["code"] or not line.get("orderly")):
                broken = (line["rank"], line["code"])
        elif line.get("left") == "failure":
            failed = failed or broken is None
    return Ranks(living, begun, ended, broken, failed)


def _lines(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_lines(folder / FILE, os.path.realpath(folder), RANK, LARGEST)[0]
    except Damaged:
        return []


def forget(folder: Path) -> None:
    """Nobody needs it after the trial's outcome."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()
