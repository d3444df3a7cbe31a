"""Interquartile means of the accuracy, where a cell has seeds enough for them."""

from __future__ import annotations

import math

from sparsebench.analysis.evidence import CELL, Evidence
from sparsebench.analysis.formats import UNKNOWN, escape, one, percent, table
from sparsebench.analysis.groups import groups
from sparsebench.analysis.interquartile import LEAST_SEEDS, interquartile

NOTE = (
    f"Of cells with {LEAST_SEEDS} seeds or more: the mean of the middle half of the seeds, with "
    "its BCa bootstrap interval at 95 %."
)


def interquartile_table(evidence: Evidence) -> str:
    """A row per cell with eight seeds; empty if there is none."""
    rows = []
    varied = bool(evidence.varied)
    for labels, cell in groups(evidence.ok, CELL) if len(evidence.ok) else ():
        found = interquartile(cell["test_accuracy"].dropna().tolist())
        if found is not None:
            words = [escape(label) for label in (labels if varied else labels[1:])]
            interval = f"{_percent(found.low)} to {_percent(found.high)}"
            rows.append([*words, _percent(found.mean), interval, str(found.n)])
    header = [*(["setting"] if varied else []), "topology", "backend",
              "interquartile mean of the accuracy", "95 % interval", "n"]  # fmt: skip
    return table(header, rows, left=len(header) - 3) if rows else ""


def _percent(value: float) -> str:
    return UNKNOWN if math.isnan(value) else percent(one(value))
