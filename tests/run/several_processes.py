"""A plugin whose trainers have several processes, one of which may end in every way there is."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench import hookimpl
from sparsebench.core.training.work import EpochRecord, Result

MIB = 2**20


def epoch(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number, train_loss=1.0, test_loss=1.0, test_accuracy=0.5, validation_accuracy=None,
        learning_rate=0.1, connections=[1], dropped=[0], grown=[0], pruned=[0], data_seconds=0.0,
        train_seconds=0.0, topology_seconds=0.0, eval_seconds=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class SeveralProcesses:
    """What happens to `rank`, while the others wait for it: nothing, unless `how` says.

    file  of each process: its number, in a file named by it and the rank
    mib   taken by the first; the second takes twice as much, and so on; where all hold, each takes
          as much, in memory of another kind
    """

    workers: int = 1
    how: str = ""
    rank: int = 1
    file: str = ""
    mib: int = 0

    def processes(self) -> int:
        return self.workers + 1

    def run(self, work: Any) -> Result | None:
        team = work.team
        with work.meter.phase("build"):
            taken = 0 if self.how == "all hold" else self.mib * (team.rank + 1)
            kept = np.ones(taken * MIB, dtype=np.uint8)
        if self.file:
            scratch = Path(f"{self.file}.{team.rank}.tmp")
            scratch.write_text(str(os.getpid()))
            scratch.rename(f"{self.file}.{team.rank}")
        for number in range(1, work.epochs + 1):
            work.progress(number, 1, 1.0)
            work.report(epoch(number))
        if self.how and team.rank == self.rank:
            self._happen(team)
        total, mine = np.zeros(3), np.full(3, float(team.rank + 1))
        team.comm.Allreduce(mine, total)
        if self.how == "all hold":
            hold(self.mib)
        del kept
        if team.rank:
            return None
        seen = {name: os.environ.get(name) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")}
        seen |= {"size": team.size, "cores": sorted(os.sched_getaffinity(0))}
        return Result(measures={"test_accuracy": total[0]}, layers=[seen], network=None)

    def _happen(self, team: Any) -> None:
        how = self.how
        if how.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[how])
        elif how == "raise":
            raise ValueError("it does not add up")
        elif how == "memory":
            np.ones(2**45, dtype=np.uint8)
        elif how == "group":
            os.killpg(0, signal.SIGKILL)
        elif how == "hang":
            time.sleep(600)
        elif how == "exit":
            os._exit(0)
        elif how == "quit":
            sys.exit(3)
        elif how == "abort":
            team.comm.Abort(5)
        elif how == "wrong message":
            team.comm.Bcast(np.zeros(3), root=99)
        elif how == "escape":
            self._escape()

    def _escape(self) -> None:
        """Leaves a process in a session of its own and without an environment, with our stdout."""
        code = (
            "import os, sys, time; open(sys.argv[1] + '.tmp', 'w').write(str(os.getpid()))\n"
            "os.rename(sys.argv[1] + '.tmp', sys.argv[1]); time.sleep(600)"
        )
        words = [sys.executable, "-c", code, f"{self.file}.child"]
        subprocess.Popen(words, start_new_session=True, env={})
        while not Path(f"{self.file}.child").exists():
            time.sleep(0.01)


def hold(mib: int) -> None:
    """Out of reach of a limit on data, as others may want to share it."""
    block = mmap.mmap(-1, mib * MIB)
    for at in range(0, mib * MIB, mmap.PAGESIZE):
        block[at] = 1
    time.sleep(60)


@hookimpl
def register_trainers(register: Any) -> None:
    register("several", SeveralProcesses)
