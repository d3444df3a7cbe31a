"""Failures with the end of what they wrote."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparsebench.analysis.evidence import CELL, FAILED, Evidence
from sparsebench.core.status import Status
from sparsebench.errors import spelt_out

MOST = 50
LONGEST = 4000
"""Characters of a log that are shown: its last ones."""


@dataclass
class Log:
    """Trials of one cell that ended alike, with the same last words."""

    cell: str
    status: str
    detail: str
    tail: str
    expected: bool
    seeds: list[int] = field(default_factory=list)
    trials: list[str] = field(default_factory=list)


def logs(evidence: Evidence) -> tuple[list[Log], int]:
    """At most `MOST`, those that the suite does not expect first; and how many more there are."""
    frame = evidence.frame
    found: dict[tuple[str, ...], Log] = {}
    for i, row in frame[frame["status"].isin([*FAILED, str(Status.INTERRUPTED)])].iterrows():
        record = evidence.records[int(str(i))]
        cell = ", ".join(str(row[name]) for name in CELL if row[name])
        status = ": ".join(filter(None, [str(record.status), record.cause]))
        tail = "\n".join(spelt_out(line) for line in record.log_tail.splitlines())[-LONGEST:]
        new = Log(cell, status, spelt_out(record.detail), tail, bool(row["expected"]))
        one = found.setdefault((cell, status, new.detail, tail), new)
        one.seeds.append(record.trial.seed)
        one.trials.append(record.trial.id)
    ordered = sorted(found.values(), key=lambda log: log.expected)
    return ordered[:MOST], max(0, len(ordered) - MOST)
