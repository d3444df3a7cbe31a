"""What was predicted of the trials, beside what was measured."""

from __future__ import annotations

import pandas as pd

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import escape, fixed, in_unit, one, table
from sparsebench.analysis.groups import groups
from sparsebench.core.metric import Metric
from sparsebench.metrics import BUILT_IN, TRAINING


def predicted_table(evidence: Evidence) -> str:
    """By backend and measure: medians of both, and of the relative error; empty if nothing was
    predicted."""
    rows = []
    for backend, part in groups(evidence.ok, ["backend_label"]):
        for metric in (m for m in TRAINING if f"predicted_{m.name}" in BUILT_IN):
            both = part[[f"predicted_{metric.name}", metric.name]].dropna()
            both = both[both[metric.name] > 0]
            if not both.empty:
                rows.append([escape(backend), metric.heading, *_cells(both, metric)])
    header = ["backend", "measure", "predicted", "measured", "median error", "largest error", "n"]
    return table(header, rows, left=2) if rows else ""


def _cells(both: pd.DataFrame, metric: Metric) -> list[str]:
    predicted, measured = both[f"predicted_{metric.name}"], both[metric.name]
    error = (predicted - measured).abs() / measured
    medians = [in_unit(metric, one(float(column.median()))) for column in (predicted, measured)]
    errors = [f"{fixed(100 * float(e), 1)} %" for e in (error.median(), error.max())]
    return [*medians, *errors, str(len(both))]
