"""Chooses the networks of a run that can be recommended: those of one cell, the trials that differ
only in seed and fold."""

from __future__ import annotations

import pandas as pd

from sparsebench.analysis.claims import Holds, Judged, judge
from sparsebench.analysis.number_format import join
from sparsebench.analysis.report_data import CELL, ReportData, groups


def compared(seen: ReportData) -> list[Judged]:
    """The judged claims that compare the primary metric of two groups of trials, such as sparse and
    dense ones."""
    name = seen.primary.name
    return [row for row in judge(seen) if not row.published and row.metric.name == name]


def networks(seen: ReportData) -> dict[str, pd.DataFrame]:
    """The trials that trained a network and ended well, by the label of their cell."""
    trained = seen.ok[seen.ok["connections"].notna()]
    return {join(*labels): cell for labels, cell in groups(trained, CELL)}


def recommended(seen: ReportData) -> pd.DataFrame:
    """The trials of the recommended cell; empty if no network was trained.

    Among the cells for which a claim of `compared` holds, this is the one with the fewest
    connections. If none holds, it is the cell with the best mean of the primary metric, among those
    with claims, or among all if there are no claims.
    """
    cells, rows = networks(seen), compared(seen)
    held = [cells[r.trials] for r in rows if r.verdict is Holds.HOLDS and r.trials in cells]
    if held:
        return min(held, key=lambda cell: float(cell["connections"].mean()))
    candidates = [cells[row.trials] for row in rows if row.trials in cells] or [*cells.values()]
    metric = seen.primary
    known = [cell for cell in candidates if cell[metric.name].notna().any()]
    best = max(known, key=lambda c: (metric.better or -1) * c[metric.name].mean(), default=None)
    return seen.frame.head(0) if best is None else best
