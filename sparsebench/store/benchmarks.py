"""A run as benchmarks for other tools: one per cell, named `suite[value-value]`.

pytest-benchmark          its JSON, for `pytest-benchmark compare FILE`
github-action-benchmark   a list of {name, unit, value, range, extra}; the tool takes smaller as
                          better in one file and bigger as better in another
bencher                   Bencher Metric Format: {benchmark: {measure: {value, lower, upper}}}
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sparsebench.core.files import jsonable
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, printable
from sparsebench.metrics import of_run
from sparsebench.store.record import Record
from sparsebench.suite.labels import brief

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

OPTIONS = {
    "disable_gc": False, "timer": "perf_counter", "min_rounds": 1, "max_time": 0.0,
    "min_time": 0.0, "warmup": True,
}  # fmt: skip
"""How it was measured, in the words of pytest-benchmark."""

LONGEST = 1024
"""Characters of a benchmark's name that Bencher takes."""


@dataclass(frozen=True)
class NamedCell:
    """name     with the cell's id where two would be called the same
    records  by seed
    """

    id: str
    name: str
    records: Sequence[Record]


def named_cells(run: StoredRun) -> list[NamedCell]:
    """In the order in which the least seeds come in the run."""
    found: dict[str, list[Record]] = {}
    for record in sorted(run.records, key=lambda record: record.trial.seed):
        found.setdefault(record.trial.cell, []).append(record)
    names = {}
    for cell, (first, *_) in found.items():
        values = "-".join(grid_words(first.trial).values()) or "all"
        names[cell] = f"{first.trial.suite}[{values}]"
    uses = Counter(names.values())
    return [
        NamedCell(cell, name if uses[name] == 1 else f"{name[:-1]}-{cell}]", found[cell])
        for cell, name in names.items()
    ]


def grid_words(trial: Trial) -> dict[str, str]:
    """The grid values but for the seed, in words."""
    words = trial.words or {key: brief(value) for key, value in trial.axes.items()}
    return {key: words[key] for key in words if key != "seed"}


# --- pytest-benchmark -----------------------------------------------------------------


def to_benchmarks(run: StoredRun) -> bytes:
    """The data of a benchmark are seconds: of a trial that times a kernel each repeat, of one
    that trains its `epoch_seconds`; trials of a cell follow each other by seed.

    A cell without a time has no place among benchmarks: it is listed under `left_out`.
    """
    from pytest_benchmark import __version__

    timed, left_out = [], []
    for cell in named_cells(run):
        if seconds := _seconds(cell):
            timed.append(_benchmark(cell, seconds))
        else:
            statuses = [str(record.status) for record in cell.records]
            why = "no trial of this cell has a time"
            left_out.append({"name": cell.name, "why": why, "statuses": statuses})
    facts = run.manifest.get("machine") or next((r.machine for r in run.records if r.machine), {})
    git = run.manifest.get("git") or {}
    first_start = min((record.started for record in run.records if record.started), default="")
    data = {
        "machine_info": {
            "node": str(facts.get("id", "")),
            "processor": str(facts.get("cpu", "")),
            "machine": str(facts.get("architecture", "")),
            "python_version": str(facts.get("python", "")),
            "system": str(facts.get("system", "")),
            "release": str(facts.get("kernel", "")),
            "cpu": {"brand_raw": str(facts.get("cpu", "")), "count": facts.get("cores")},
        },
        "commit_info": {
            "id": str(git.get("commit", "")),
            "dirty": bool(git.get("dirty", False)),
            "project": "sparsebench",
            "branch": "",
            "time": None,
            "author_time": None,
        },
        "benchmarks": timed,
        "datetime": str(run.manifest.get("started") or first_start),
        "version": __version__,
        "left_out": left_out,
    }
    return (json.dumps(jsonable(data), indent=1, ensure_ascii=True) + "\n").encode()


def _seconds(cell: NamedCell) -> list[float]:
    found: list[float] = []
    for record in cell.records:
        if record.status is Status.OK:
            repeats = [s for layer in record.layers for s in layer.get("repeats", ())]
            epoch = record.measures.get("epoch_seconds")
            found += repeats or ([epoch] if epoch is not None else [])
    return [second for second in found if second > 0]


def _benchmark(cell: NamedCell, seconds: list[float]) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for second in seconds:
        stats.update(second)
    first = next(record for record in cell.records if record.status is Status.OK)
    trial, kernel = first.trial, first.trial.trainer.get("kernel")
    params = grid_words(trial)
    kept = ("connections", "roofline_share", "kernel_bytes", "kernel_flops", "net_peak_bytes")
    return {
        "group": str(kernel or trial.suite),
        "name": cell.name,
        "fullname": f"{trial.suite}::{cell.name}",
        "params": params or None,
        "param": "-".join(params.values()) or None,
        "extra_info": {
            "seconds": "kernel" if kernel else "epoch",
            "cell": cell.id,
            "trials": [record.trial.id for record in cell.records],
            "seeds": [record.trial.seed for record in cell.records],
            "statuses": [str(record.status) for record in cell.records],
            "contended": any(record.contended for record in cell.records),
            **{key: first.measures[key] for key in kept if first.measures.get(key) is not None},
        },
        "options": OPTIONS,
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": 1},
    }


# --- github-action-benchmark and Bencher ----------------------------------------------


@dataclass(frozen=True)
class Tracked:
    """A metric of a cell: its mean over the seeds that ended well, and the standard deviation
    (n - 1), None for a single seed."""

    name: str
    metric: Metric
    values: dict[int, float]

    @property
    def mean(self) -> float:
        return math.fsum(self.values.values()) / len(self.values)

    @property
    def sd(self) -> float | None:
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


def to_github_action_benchmark(run: StoredRun, better: Literal["smaller", "bigger"]) -> bytes:
    """For the tool `customSmallerIsBetter` or `customBiggerIsBetter`."""
    sign = -1 if better == "smaller" else +1
    return _text(
        run,
        [
            {
                "name": f"{one.name} {one.metric.name}",
                "unit": one.metric.unit_symbol,
                "value": one.mean,
                "extra": f"{'mean of seeds' if one.sd is not None else 'seed'} "
                + ", ".join(map(str, one.values)),
                **({"range": f"± {one.sd:.6g}"} if one.sd is not None else {}),
            }
            for one in tracked(run)
            if one.metric.better == sign
        ],
    )


def to_bencher(run: StoredRun) -> bytes:
    """Bounds are a standard deviation below and above the mean. A measure is called by its slug:
    `epoch-seconds`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in tracked(run):
        sd = one.sd
        spread = (
            {"lower_value": one.mean - sd, "upper_value": one.mean + sd} if (sd is not None) else {}
        )
        slug = one.metric.name.replace("_", "-")
        found.setdefault(one.name[:LONGEST], {})[slug] = {"value": one.mean, **spread}
    return _text(run, found)


def tracked(run: StoredRun) -> Iterator[Tracked]:
    """The measured metrics of every cell; a cell whose trials all failed has none."""
    metrics = [metric for metric in of_run(run.manifest).values() if metric.tracked]
    for cell in named_cells(run):
        well = [record for record in cell.records if record.status is Status.OK]
        for metric in metrics:
            found = {record.trial.seed: record.measures.get(metric.name) for record in well}
            values = {s: float(v) for s, v in found.items() if v is not None and math.isfinite(v)}
            if values:
                yield Tracked(printable(cell.name), metric, values)


def _text(run: StoredRun, data: Any) -> bytes:
    if not data:
        raise NothingMatched(f"run {run.id}: no trial that ended well has a metric to follow")
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
