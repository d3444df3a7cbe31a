"""Records by cell: what `run` prints at its end."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sparsebench.store.record import Record, primary_of
from sparsebench.suite.labels import label


def result_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row per cell: its status words, and means over the seeds that ended well. The primary
    metric is a column of its name; where the cells have several, one column names it in each."""
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.trial.cell, []).append(record)
    results = [_result(cell) for cell in cells.values()]
    names = list(dict.fromkeys(name for name, _ in results if name)) or ["accuracy"]
    rows = []
    for cell, (name, value) in zip(cells.values(), results, strict=True):
        one = {names[0]: value} if len(names) == 1 else {"result": f"{name} {value}".strip()}
        rows.append(_row(cell, one))
    return rows


def _row(records: Sequence[Record], result: dict[str, str]) -> dict[str, Any]:
    counts = Counter(str(record.status) for record in records)
    peaks = [peak / 2**20 for peak in _values(records, "net_peak_bytes")]
    return {
        "cell": label(records[0].trial, seed=False),
        "status": ", ".join(f"{n} {status}" for status, n in counts.items()),
        **result,
        "seconds": _mean(_values(records, "wall_seconds"), 1),
        "net peak MiB": _mean(peaks, 1),
    }


def _result(records: Sequence[Record]) -> tuple[str, str]:
    """The primary metric of a cell by its plain name, and its mean; both empty if unknown."""
    found = [primary_of(record) for record in records if str(record.status) == "ok"]
    values = [value for _, value in found if value is not None and math.isfinite(value)]
    return (found[0][0], spread(values)) if values else ("", "")


def _values(records: Iterable[Record], name: str) -> list[float]:
    """The finite values of a measure over the records that ended well."""
    found = [r.measures.get(name) for r in records if str(r.status) == "ok"]
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation; only the mean of a single value."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{statistics.fmean(values):.{digits}f}" if values else ""
