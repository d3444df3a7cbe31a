"""Records by cell: what `run` prints at its end."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sparsebench.store.record import Record
from sparsebench.suite.labels import label


def result_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row per cell: its status words, and means over the seeds that ended well."""
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.trial.cell, []).append(record)
    return [_row(cell) for cell in cells.values()]


def _row(records: Sequence[Record]) -> dict[str, Any]:
    counts = Counter(str(record.status) for record in records)
    peaks = [peak / 2**20 for peak in _values(records, "net_peak_bytes")]
    return {
        "cell": label(records[0].trial, seed=False),
        "status": ", ".join(f"{n} {status}" for status, n in counts.items()),
        "accuracy": spread(_values(records, "test_accuracy")),
        "seconds": _mean(_values(records, "wall_seconds"), 1),
        "net peak MiB": _mean(peaks, 1),
    }


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
