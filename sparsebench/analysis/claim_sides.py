"""The sides of a claim: the trials that its `where` and `against` select, cell by cell.

A claim is about one side, or compares two. Each side has one or more cells, the trials that differ
only in seed and fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sparsebench.analysis.number_format import join
from sparsebench.analysis.report_data import (
    CELL,
    ReportData,
    families,
    groups,
    is_selected_by,
    trials_of,
)
from sparsebench.analysis.trial_settings import value_at
from sparsebench.core.trial import PARTS, Trial
from sparsebench.suite.labels import brief, flat

Claim = Mapping[str, Any]
"""One table of [[claims]] in the suite that is stored with a run."""

Side = tuple[str, pd.DataFrame]
"""The labels of a cell, and its rows."""


def side_cells(frame: pd.DataFrame) -> Iterator[Side]:
    """The trials by setting, topology and backend; one group without rows if there are none."""
    if frame.empty:
        yield "", frame
    for labels, cell in groups(frame, CELL):
        yield join(*labels), cell


def side_pairs(seen: ReportData, frame: pd.DataFrame, claim: Claim) -> Iterator[tuple[Side, Side]]:
    """Yield each cell of the first side with each cell of the second side that differs from it only
    in the keys that the claim names. Without such a cell, the second has no rows.

    A claim that names a component names its parameters too, except those that vary within each
    side, such as the density of two methods on one grid of densities."""
    keys = [*claim["where"], *claim["against"]]
    own, against = (rows_at(seen, frame, claim[side]) for side in ("where", "against"))
    sides = [[record.trial for record in seen.records_of(part)] for part in (own, against)]
    alike = pd.Series(families(seen, *keys), index=seen.frame.index)
    for key in _on_both_grids(keys, *sides):
        for part, trials in zip((own, against), sides):
            alike[part.index] += [f" {key}={brief(value_at(trial, key))}" for trial in trials]
    for label, cell in side_cells(own):
        same = alike[against.index].isin(alike[cell.index].unique())
        same &= against["apart"].isin(cell["apart"].unique())
        for other in side_cells(against[same] if len(cell) else against):
            yield (label, cell), other


def _on_both_grids(keys: Sequence[str], *sides: Sequence[Trial]) -> Iterator[str]:
    """Yield the parameters that vary within each side, of components that `keys` names as a
    whole."""
    for part in (key for key in PARTS if key in keys):
        found = [[flat(trial.whole(part)) for trial in side] for side in sides]
        for name in dict.fromkeys(name for side in found for one in side for name in one):
            key = f"{part}.{name}"
            if key not in keys and all(len({brief(one.get(name)) for one in s}) > 1 for s in found):
                yield key


def rows_at(seen: ReportData, frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    trials = dict(zip(seen.frame.index, trials_of(seen)))
    return frame.loc[[i for i in frame.index if is_selected_by(where, trials[i])]]
