"""Reads ranks.jsonl, the log of a trial of several processes: which are alive, and how they
ended."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from sparsebench.core.worker.mpi import FILE, name_of
from sparsebench.core.worker.processes import started
from sparsebench.store.safe_files import Damaged, read_lines
from sparsebench.store.schemas import RANK

LARGEST = 2**20
"""A log of more bytes than this counts as empty; a sound one has three short lines per process."""

KILLED = (9, 255)
"""Exit codes of MPICH's mpiexec when a process that it started, or its proxy, was killed."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a trial.

    starts  pid -> start time in ticks since boot
    living  those of `starts` whose end is not in the log
    broken  rank and exit code of the first process that ended with a code other than 0, or without
            announcing its end
    failed  whether a process left a result with an error before any was `broken`
    """

    living: dict[int, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    broken: tuple[int, int] | None = None
    failed: bool = False

    @property
    def first_to_end(self) -> str:
        """The name of the `broken` process; empty if there is none, or if a process had left a
        result with an error before (`failed`)."""
        return name_of(self.broken[0]) if self.broken is not None and not self.failed else ""

    @property
    def over(self) -> bool:
        """Whether the trial is over: all processes have ended, or the others wait for one that
        has."""
        gone = bool(self.starts) and all(started(p) != start for p, start in self.living.items())
        return gone or self.failed or self.broken is not None

    def code(self, of_mpiexec: int) -> int:
        """The exit code that explains how the trial ended.

        of_mpiexec  the exit code of mpiexec, which explains little, because mpiexec ends all
                    processes when one is missing. It is used only if the log does not tell the end,
                    as when a process was killed together with the monitor that writes the log
        """
        if self.failed:
            return 1
        if self.broken is not None:
            return self.broken[1]
        if self.starts and not self.living:
            return 0
        return -9 if self.starts and of_mpiexec in KILLED else of_mpiexec


def read(folder: Path) -> Ranks:
    """The state according to the log so far. Malformed lines are skipped, because the trial can
    write anything into the log."""
    living: dict[int, int] = {}
    starts: dict[int, int] = {}
    broken, failed = None, False
    try:
        lines = read_lines(folder / FILE, os.path.realpath(folder), RANK, LARGEST)[0]
    except Damaged:
        lines = []
    for line in lines:
        if "start" in line and "pid" in line:
            living[line["pid"]] = starts[line["pid"]] = line["start"]
        elif "code" in line and "pid" in line:
            living.pop(line["pid"], None)
            if broken is None and (line["code"] or not line.get("orderly")):
                broken = (line["rank"], line["code"])
        elif line.get("left") == "failure":
            failed = failed or broken is None
    return Ranks(living, starts, broken, failed)


def forget(folder: Path) -> None:
    """Delete the log after the outcome is stored."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()
