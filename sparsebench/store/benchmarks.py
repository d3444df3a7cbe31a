"""A run as the JSON of pytest-benchmark, for its own tools: `pytest-benchmark compare FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_benchmark import __version__
from pytest_benchmark.stats import Stats

from sparsebench.core.files import jsonable
from sparsebench.core.status import Status
from sparsebench.store.cells import NamedCell, grid_words, named_cells
from sparsebench.store.record import Record

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

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
    cells = named_cells(run)
    timed = {cell.id: seconds for cell in cells if (seconds := _seconds(cell.records))}
    told = {
        "machine_info": _machine(run),
        "commit_info": _commit(run),
        "benchmarks": [_benchmark(cell, timed[cell.id]) for cell in cells if cell.id in timed],
        "datetime": str(run.manifest.get("started") or _first_start(run)),
        "version": __version__,
        "left_out": [
            {
                "name": cell.name,
                "why": NONE_TIMED,
                "statuses": [str(record.status) for record in cell.records],
            }
            for cell in cells
            if cell.id not in timed
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


def _benchmark(cell: NamedCell, seconds: list[float]) -> dict[str, Any]:
    stats = Stats()
    for second in seconds:
        stats.update(second)
    trial = cell.trial
    kernel = trial.trainer.get("kernel")
    params = grid_words(trial)
    return {
        "group": str(kernel or trial.suite),
        "name": cell.name,
        "fullname": f"{trial.suite}::{cell.name}",
        "params": params or None,
        "param": "-".join(params.values()) or None,
        "extra_info": _extra(cell.records),
        "options": OPTIONS,
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": 1},
    }


def _extra(records: Sequence[Record]) -> dict[str, Any]:
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
