"""A run as the JSON of pytest-benchmark, for its own tools: `pytest-benchmark compare FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_benchmark import __version__
from pytest_benchmark.stats import Stats

from sparsebench.records.record import Record, Status, jsonable
from sparsebench.suite.trial import Trial
from sparsebench.suite.words import brief

if TYPE_CHECKING:
    from sparsebench.records.store import StoredRun

OPTIONS = {
    "disable_gc": False, "timer": "perf_counter", "min_rounds": 1, "max_time": 0.0,
    "min_time": 0.0, "warmup": True,
}  # fmt: skip
"""What pytest-benchmark says of how it measured."""

NONE_TIMED = "no trial of this cell has a time"


def to_benchmarks(run: StoredRun) -> bytes:
    """One benchmark per cell. Its data are seconds: of a trial that times a kernel each repeat,
    of one that trains its `epoch_seconds`; trials of a cell follow each other by seed.

    A cell without a time has no place among benchmarks: it is listed under `left_out`.
    """
    cells: dict[str, list[Record]] = {}
    for record in sorted(run.records, key=lambda record: record.trial.seed):
        cells.setdefault(record.trial.cell, []).append(record)
    timed = {cell: seconds for cell, found in cells.items() if (seconds := _seconds(found))}
    names = _names({cell: found[0].trial for cell, found in cells.items()})
    told = {
        "machine_info": _machine(run),
        "commit_info": _commit(run),
        "benchmarks": [
            _benchmark(names[cell], cells[cell], seconds) for cell, seconds in timed.items()
        ],
        "datetime": str(run.manifest.get("started") or _first_start(run)),
        "version": __version__,
        "left_out": [
            {"name": names[cell], "why": NONE_TIMED, "statuses": [str(r.status) for r in found]}
            for cell, found in cells.items()
            if cell not in timed
        ],
    }
    return (json.dumps(jsonable(told), indent=1, ensure_ascii=True) + "\n").encode()


def _seconds(records: Iterable[Record]) -> list[float]:
    found: list[float] = []
    for record in records:
        if record.status is Status.OK:
            repeats = [s for layer in record.layers for s in layer.get("repeats", ())]
            epoch = record.measures.get("epoch_seconds")
            found += repeats or ([epoch] if epoch is not None else [])
    return [second for second in found if second > 0]


def _benchmark(name: str, records: list[Record], seconds: list[float]) -> dict[str, Any]:
    stats = Stats()
    for second in seconds:
        stats.update(second)
    trial = records[0].trial
    kernel = trial.trainer.get("kernel")
    params = _params(trial)
    return {
        "group": str(kernel or trial.suite),
        "name": name,
        "fullname": f"{trial.suite}::{name}",
        "params": params or None,
        "param": "-".join(params.values()) or None,
        "extra_info": _extra(records),
        "options": OPTIONS,
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": 1},
    }


def _extra(records: list[Record]) -> dict[str, Any]:
    """What else is known of the cell: what its seconds are, which trials, and its roofline."""
    first = next(record for record in records if record.status is Status.OK)
    kept = ("connections", "roofline_share", "kernel_bytes", "kernel_flops", "net_peak_bytes")
    numbers = {key: first.measures[key] for key in kept if first.measures.get(key) is not None}
    return {
        "seconds": "kernel" if first.trial.trainer.get("kernel") else "epoch",
        "cell": first.trial.cell,
        "trials": [record.trial.id for record in records],
        "seeds": [record.trial.seed for record in records],
        "statuses": [str(record.status) for record in records],
        "contended": any(record.contended for record in records),
        **numbers,
    }


def _names(trials: Mapping[str, Trial]) -> dict[str, str]:
    """By cell: `suite[value-value]`, with the cell where two would be called the same."""
    plain = {
        cell: f"{trial.suite}[{'-'.join(_params(trial).values()) or 'all'}]"
        for cell, trial in trials.items()
    }
    taken = list(plain.values())
    return {
        cell: name if taken.count(name) == 1 else f"{name[:-1]}-{cell}]"
        for cell, name in plain.items()
    }


def _params(trial: Trial) -> dict[str, str]:
    """The grid values but for the seed, in words."""
    words = trial.words or {key: brief(value) for key, value in trial.axes.items()}
    return {key: words[key] for key in words if key != "seed"}


def _machine(run: StoredRun) -> dict[str, Any]:
    """The machine's facts under the names that pytest-benchmark uses."""
    facts = run.manifest.get("machine") or next((r.machine for r in run.records if r.machine), {})
    return {
        "node": str(facts.get("id", "")),
        "processor": str(facts.get("cpu", "")),
        "machine": str(facts.get("architecture", "")),
        "python_version": str(facts.get("python", "")),
        "system": str(facts.get("system", "")),
        "release": str(facts.get("kernel", "")),
        "cpu": {"brand_raw": str(facts.get("cpu", "")), "count": facts.get("cores")},
    }


def _commit(run: StoredRun) -> dict[str, Any]:
    git = run.manifest.get("git") or {}
    return {
        "id": str(git.get("commit", "")),
        "dirty": bool(git.get("dirty", False)),
        "project": "sparsebench",
        "branch": "",
        "time": None,
        "author_time": None,
    }


def _first_start(run: StoredRun) -> str:
    return min((record.started for record in run.records if record.started), default="")
