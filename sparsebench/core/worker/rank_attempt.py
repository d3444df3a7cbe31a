"""One of several processes of a trial: from what mpiexec started to its share of the attempt."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from sparsebench.core.job import Job
from sparsebench.core.worker.attempt import attempt
from sparsebench.core.worker.rank_monitor import MonitoredRank
from sparsebench.core.worker.team import MpiTeam


def attempt_together(rank: MonitoredRank) -> int:
    """Run this rank and return its exit code. A rank that fails ends the others;
    if an exception leaves this function, the rank's monitor ends them."""
    line = sys.stdin.buffer.readline() if rank.log.rank <= 0 else b""
    team = _joined()
    if team is None or team.size == 1:  # they do not find each other
        code = attempt(_job(line), None, rank.log) if line else 0
        rank.finished()
        return code
    log = replace(rank.log, rank=team.rank)
    code = attempt(_job(team.share(line)), team, log)
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        team.abort(code)
    team.finish()
    rank.finished()
    return code


def _joined() -> MpiTeam | None:
    try:
        return MpiTeam()
    except (ImportError, RuntimeError) as error:
        print(f"mpi4py does not load: {error}", file=sys.stderr)  # noqa: T201
        return None


def _job(line: bytes) -> Job:
    return Job.from_json(json.loads(line))
