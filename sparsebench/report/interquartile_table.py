"""Interquartile means of the primary metric, where a cell has seeds enough for them."""

from __future__ import annotations

import math

from sparsebench.analysis.evidence import CELL, Evidence
from sparsebench.analysis.formats import UNKNOWN, escape, in_unit, one, table
from sparsebench.analysis.groups import groups
from sparsebench.analysis.interquartile import LEAST_SEEDS, interquartile
from sparsebench.core.metric import Metric

NOTE = (
    f"Of cells with {LEAST_SEEDS} seeds or more: the mean of the middle half of the seeds, with "
    "its BCa bootstrap interval at 95 %."
)


def interquartile_table(evidence: Evidence) -> str:
    """A row per cell with eight seeds; empty if there is none."""
    rows = []
    varied, metric = bool(evidence.varied), evidence.primary
    for labels, cell in groups(evidence.ok, CELL) if len(evidence.ok) else ():
        found = interquartile(cell[metric.name].dropna().tolist())
        if found is not None:
            words = [escape(label) for label in (labels if varied else labels[1:])]
            mean, low, high = (
                _number(metric, value) for value in (found.mean, found.low, found.high)
            )
            rows.append([*words, mean, f"{low} to {high}", str(found.n)])
    header = [*(["setting"] if varied else []), "topology", "backend",
              f"interquartile mean of the {metric.heading.removeprefix('test ')}",
              "95 % interval", "n"]  # fmt: skip
    return table(header, rows, left=len(header) - 3) if rows else ""


def _number(metric: Metric, value: float) -> str:
    return UNKNOWN if math.isnan(value) else in_unit(metric, one(value))
