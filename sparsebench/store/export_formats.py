"""The formats of an export: tables (csv, json, parquet), and files for other tools.

Other tools read one benchmark per cell (all trials that differ only in seed and fold), named
`suite[value-value]` after the suite and the cell's values on the grid's axes:

pytest-benchmark          its JSON, for `pytest-benchmark compare FILE`
github-action-benchmark   a list of {name, unit, value, range, extra}; metrics of which less is
                          better are in one file, those of which more is better in another
bencher                   Bencher Metric Format: {benchmark: {measure: {value, lower, upper}}}
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from sparsebench.core.files import jsonable
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.errors import NothingMatched, SparsebenchError, nearest, printable
from sparsebench.metrics import Metrics, of_run
from sparsebench.store.export_columns import epochs_frame, run_frame
from sparsebench.store.record import Record
from sparsebench.suite.labels import grid_words

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet reads a text cell that starts with one of these characters as a formula."""

LONGEST = 1024
"""The most characters that Bencher allows in a benchmark's name."""


def exported(run: StoredRun, format: str, *, epochs: bool = False) -> bytes:
    """The content of a run's export in the format of that name. A table has a row per trial, or
    with `epochs` a row per trial and epoch; other formats refuse `epochs`."""
    if format in TABLES:
        frame = epochs_frame(run) if epochs else run_frame(run)
        return TABLES[format](frame, of_run(run.manifest))
    if format not in OF_CELLS:
        known = nearest(format, (*TABLES, *OF_CELLS))
        raise SparsebenchError(f"unknown format {format!r}.{known}")
    if epochs:
        raise SparsebenchError(f"--epochs: {format} has an entry per cell; take csv or json")
    return OF_CELLS[format](run)


# --- tables ---------------------------------------------------------------------------


def to_csv(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    """A csv table. Numbers are written by repr, so that they read back the same; an unknown value
    is empty, and a list is JSON text.

    metrics  decide which columns are counts; None: the built-in metrics
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(str(name)) for name in frame.columns])
    for row in _rows(frame, metrics):
        writer.writerow([_csv_cell(value) for value in row])
    return text.getvalue().encode()


def to_json(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    """A JSON list with an object per row. An unknown value is null; infinities are the strings
    "inf" and "-inf"."""
    names = [str(name) for name in frame.columns]
    return _json([jsonable(dict(zip(names, row))) for row in _rows(frame, metrics)])


def to_parquet(frame: pd.DataFrame, metrics: Metrics | None = None) -> bytes:
    """A parquet table. Columns of counts are Int64 if all their values are whole numbers."""
    if importlib.util.find_spec("pyarrow") is None:
        raise SparsebenchError(
            "format parquet needs pyarrow, which is not installed; "
            "get it with: pip install 'sparsebench[parquet]'"
        )
    counts = {
        name: "Int64"
        for name in frame.columns
        if _counts(str(name), metrics)
        and pd.api.types.is_numeric_dtype(frame[name])
        and bool((frame[name].dropna() % 1 == 0).all())
    }
    content = io.BytesIO()
    frame.astype(counts).to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


TABLES = {"csv": to_csv, "json": to_json, "parquet": to_parquet}


def _rows(frame: pd.DataFrame, metrics: Metrics | None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as Python values: counts as int, unknown values as None."""

    def plain(value: Any, whole: bool) -> Any:
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return None
        number = whole and isinstance(value, int | float)  # of an observer also lists
        return int(value) if number and math.isfinite(value) and value == int(value) else value

    columns = []
    for name in frame.columns:
        whole = _counts(str(name), metrics)
        columns.append([plain(value, whole) for value in frame[name].tolist()])
    return zip(*columns)


def _counts(column: str, metrics: Metrics | None) -> bool:
    """Whether a column holds counts, as its metric declares. The column of a layer, such as
    connections_1, is judged as `connections`."""
    stem, _, number = column.rpartition("_")
    return (metrics or Metrics()).declaration(stem if number.isdigit() else column).is_whole


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(jsonable(value), separators=(",", ":"))
    return _harmless(value) if isinstance(value, str) else repr(value)


def _harmless(text: str) -> str:
    """The text, preceded by an apostrophe if a spreadsheet would take it for a formula.

    A carriage return, which the csv module does not quote, is replaced by a line feed.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if text.startswith(FORMULA_STARTS) else lines


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


# --- cells, for other tools -----------------------------------------------------------


def to_pytest_benchmark(run: StoredRun) -> bytes:
    """The JSON of pytest-benchmark. A benchmark's data are seconds: the `epoch_seconds` of each
    trial that trains, or all repeats of each trial that times a kernel. Trials of a cell are
    ordered by seed.

    Cells without a time are listed under `left_out`.
    """
    from pytest_benchmark import __version__

    timed, left_out = [], []
    for name, records in _cells(run):
        well = [record for record in records if record.status is Status.OK]
        found: list[float] = []
        for record in well:
            repeats = [second for layer in record.layers for second in layer.get("repeats", ())]
            epoch = record.measures.get("epoch_seconds")
            found += repeats or ([epoch] if epoch is not None else [])
        if seconds := [second for second in found if second > 0]:
            timed.append(_benchmark(name, records, well[0], seconds))
        else:
            statuses = [str(record.status) for record in records]
            why = "no trial of this cell has a time"
            left_out.append({"name": name, "why": why, "statuses": statuses})
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


def _benchmark(
    name: str, records: list[Record], first: Record, seconds: list[float]
) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for second in seconds:
        stats.update(second)
    trial, kernel = first.trial, first.trial.trainer.get("kernel")
    params = grid_words(trial, seed=False)
    kept = ("connections", "roofline_share", "kernel_bytes", "kernel_flops", "net_peak_bytes")
    return {
        "group": str(kernel or trial.suite),
        "name": name,
        "fullname": f"{trial.suite}::{name}",
        "params": params or None,
        "param": "-".join(params.values()) or None,
        "extra_info": {
            "seconds": "kernel" if kernel else "epoch",
            "cell": trial.cell,
            "trials": [record.trial.id for record in records],
            "seeds": [record.trial.seed for record in records],
            "statuses": [str(record.status) for record in records],
            "contended": any(record.contended for record in records),
            **{key: first.measures[key] for key in kept if first.measures.get(key) is not None},
        },
        "options": {
            "disable_gc": False, "timer": "perf_counter", "min_rounds": 1, "max_time": 0.0,
            "min_time": 0.0, "warmup": True,
        },
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": 1},
    }  # fmt: skip


def to_github_action_benchmark(
    run: StoredRun, better: Literal["smaller", "bigger"] = "smaller"
) -> bytes:
    """The JSON of github-action-benchmark, for its tool `customSmallerIsBetter` or, if `better` is
    "bigger", `customBiggerIsBetter`. Only metrics of that kind are in it."""
    entries = []
    for name, metric, seeds, mean, sd in _tracked(run):
        if metric.better == (-1 if better == "smaller" else +1):
            extra = f"{'seed' if sd is None else 'mean of seeds'} {', '.join(map(str, seeds))}"
            entry = {"name": f"{name} {metric.name}", "unit": metric.unit_symbol, "value": mean}
            spread = {} if sd is None else {"range": f"± {sd:.6g}"}
            entries.append({**entry, "extra": extra, **spread})
    return _tracked_json(run, entries)


def to_bencher(run: StoredRun) -> bytes:
    """The JSON of Bencher. Bounds are one standard deviation below and above the mean. A measure is
    named by its slug, such as `epoch-seconds`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, metric, _, mean, sd in _tracked(run):
        spread = {} if sd is None else {"lower_value": mean - sd, "upper_value": mean + sd}
        slug = metric.name.replace("_", "-")
        found.setdefault(name[:LONGEST], {})[slug] = {"value": mean, **spread}
    return _tracked_json(run, found)


OF_CELLS = {
    "pytest-benchmark": to_pytest_benchmark,
    "github-action-benchmark": to_github_action_benchmark,
    "github-action-benchmark-bigger": lambda run: to_github_action_benchmark(run, "bigger"),
    "bencher": to_bencher,
}


def _cells(run: StoredRun) -> list[tuple[str, list[Record]]]:
    """The name of each cell and its records, ordered by seed. Cells are in the order in which their
    smallest seeds occur in the run. The cell's id is added to a name that two cells would share."""
    found: dict[str, list[Record]] = {}
    for record in sorted(run.records, key=lambda record: record.trial.replicate):
        found.setdefault(record.trial.cell, []).append(record)
    names = {}
    for cell, (first, *_) in found.items():
        values = "-".join(grid_words(first.trial, seed=False).values()) or "all"
        names[cell] = f"{first.trial.suite}[{values}]"
    uses = Counter(names.values())
    return [
        (name if uses[name] == 1 else f"{name[:-1]}-{cell}]", found[cell])
        for cell, name in names.items()
    ]


def _tracked(run: StoredRun) -> Iterator[tuple[str, Metric, list[int], float, float | None]]:
    """For each cell, yield its metrics that declare themselves `tracked`, over its successful
    trials: the cell's name, the metric, the seeds (numbers for seed and fold), the mean, and the
    standard deviation (n - 1), None for a single trial. Metrics without a value are left out."""
    metrics = [metric for metric in of_run(run.manifest).values() if metric.tracked]
    for name, records in _cells(run):
        well = [record for record in records if record.status is Status.OK]
        for metric in metrics:
            found = {record.trial.replicate: record.measures.get(metric.name) for record in well}
            values = {s: float(v) for s, v in found.items() if v is not None and math.isfinite(v)}
            if values:
                mean = math.fsum(values.values()) / len(values)
                sd = statistics.stdev(values.values()) if len(values) > 1 else None
                yield printable(name), metric, list(values), mean, sd


def _tracked_json(run: StoredRun, data: Any) -> bytes:
    if not data:
        raise NothingMatched(f"run {run.id}: no trial that ended well has a metric to follow")
    return _json(data)
