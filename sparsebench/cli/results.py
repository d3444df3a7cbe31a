"""Records by cell: the table that `run` prints at its end."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sparsebench.store.record import Record, primary_of
from sparsebench.suite.labels import label


def result_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row per cell: its status words, and means over the seeds that ended well.

    The primary metric is a column of its name; if the cells have several, one column names it.
    """
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.trial.cell, []).append(record)
    rows, metrics = [], []
    for cell in cells.values():
        finished = [record for record in cell if str(record.status) == "ok"]
        primaries = [primary_of(record) for record in finished]
        values = _finite(value for _, value in primaries)
        counts = Counter(str(record.status) for record in cell)
        metrics.append(primaries[0][0] if values else "")
        rows.append(
            {
                "cell": label(cell[0].trial, seed=False),
                "status": ", ".join(f"{n} {status}" for status, n in counts.items()),
                "result": spread(values),
                "seconds": _mean(finished, "wall_seconds"),
                "net peak MiB": _mean(finished, "net_peak_bytes", 2**20),
            }
        )
    names = list(dict.fromkeys(filter(None, metrics))) or ["accuracy"]
    if len(names) > 1:
        return [
            {**row, "result": f"{name} {row['result']}".strip()} for row, name in zip(rows, metrics)
        ]
    return [{names[0] if key == "result" else key: v for key, v in row.items()} for row in rows]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation; only the mean of a single value."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def _mean(records: Iterable[Record], measure: str, unit: float = 1) -> str:
    values = _finite(record.measures.get(measure) for record in records)
    return f"{statistics.fmean(values) / unit:.1f}" if values else ""


def _finite(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]
