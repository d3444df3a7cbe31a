"""What tools that follow a project over time are told: a value per cell and metric.

github_action_benchmark   a list of {name, unit, value, range, extra}; the tool takes smaller as
                          better in one file and bigger as better in another
bencher                   Bencher Metric Format: {benchmark: {measure: {value, lower, upper}}}
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.errors import NothingMatched, printable
from sparsebench.metrics import of_run
from sparsebench.store.cells import NamedCell, named_cells

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

Direction = Literal["smaller", "bigger"]

LONGEST = 1024
"""Characters of a benchmark's name that Bencher takes."""


@dataclass(frozen=True)
class Tracked:
    """The mean over the seeds that ended well; sd (n - 1) is None for a single one."""

    name: str
    metric: Metric
    values: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def sd(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def to_github_action_benchmark(run: StoredRun, better: Direction) -> bytes:
    """For the tool `customSmallerIsBetter` or `customBiggerIsBetter`."""
    sign = -1 if better == "smaller" else +1
    rows = [_entry(one) for one in tracked(run) if one.metric.better == sign]
    if not rows:
        raise NothingMatched(f"run {run.id}: no trial that ended well has a metric to follow")
    return _text(rows)


def to_bencher(run: StoredRun) -> bytes:
    """Bounds are a standard deviation below and above the mean. A measure is called by its slug:
    `epoch-seconds`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in tracked(run):
        slug = one.metric.name.replace("_", "-")
        found.setdefault(one.name[:LONGEST], {})[slug] = _metric(one)
    if not found:
        raise NothingMatched(f"run {run.id}: no trial that ended well has a metric to follow")
    return _text(found)


def tracked(run: StoredRun) -> Iterator[Tracked]:
    """What was measured; a cell whose trials all failed has nothing to follow."""
    metrics = [metric for metric in of_run(run.manifest).values() if metric.tracked]
    for cell in named_cells(run):
        for metric in metrics:
            values = _values(cell, metric.name)
            if values:
                name = printable(cell.name)
                yield Tracked(name, metric, tuple(values.values()), tuple(values))


def _values(cell: NamedCell, metric: str) -> dict[int, float]:
    ended_well = [record for record in cell.records if record.status is Status.OK]
    found = {record.trial.seed: record.measures.get(metric) for record in ended_well}
    return {s: float(v) for s, v in found.items() if v is not None and math.isfinite(v)}


def _entry(one: Tracked) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{one.name} {one.metric.name}",
        "unit": one.metric.unit_symbol,
        "value": one.mean,
        "extra": f"{_of(one)} {', '.join(map(str, one.seeds))}",
    }
    if one.sd is not None:
        entry["range"] = f"± {one.sd:.6g}"
    return entry


def _of(one: Tracked) -> str:
    return "mean of seeds" if len(one.seeds) > 1 else "seed"


def _metric(one: Tracked) -> dict[str, float]:
    if one.sd is None:
        return {"value": one.mean}
    return {
        "value": one.mean,
        "lower_value": one.mean - one.sd,
        "upper_value": one.mean + one.sd,
    }


def _text(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
