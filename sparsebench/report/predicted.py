"""What was predicted of the trials, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import Spread, escape, fixed, one, seconds, size, table
from sparsebench.analysis.groups import groups

MEASURES: tuple[tuple[str, str, Callable[[Spread], str]], ...] = (
    ("stored bytes", "stored_bytes", size),
    ("net peak", "net_peak_bytes", size),
    ("epoch", "epoch_seconds", seconds),
)


def predicted_table(evidence: Evidence) -> str:
    """By backend and measure: medians of both, and of the relative error; empty if nothing was
    predicted."""
    rows = []
    for backend, part in groups(evidence.ok, ["backend_label"]):
        for title, name, show in MEASURES:
            both = part[[f"predicted_{name}", name]].dropna()
            both = both[both[name] > 0]
            if not both.empty:
                rows.append([escape(backend), title, *_cells(both, name, show)])
    header = ["backend", "measure", "predicted", "measured", "median error", "largest error", "n"]
    return table(header, rows, left=2) if rows else ""


def _cells(both: pd.DataFrame, name: str, show: Callable[[Spread], str]) -> list[str]:
    predicted, measured = both[f"predicted_{name}"], both[name]
    error = (predicted - measured).abs() / measured
    medians = [show(one(float(column.median()))) for column in (predicted, measured)]
    errors = [f"{fixed(100 * float(e), 1)} %" for e in (error.median(), error.max())]
    return [*medians, *errors, str(len(both))]
