"""Tests whether any network is better than chance, the best constant prediction.

Accuracies near chance differ at random, so they get no chart and no bold numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.analysis.statistics import Spread, from_zero

ALPHA = 0.05
"""The error rate, over all cells of a data set, of the statement that one of them beats chance."""

FEW = 5
"""The spread over seeds is used only with at least this many seeds."""


def beats_chance(part: pd.DataFrame) -> bool | None:
    """Whether some cell (the trials that differ only in seed and fold) is shown to be more accurate
    than chance. None if the level of chance was not recorded, or if the metric is not the test
    accuracy.

    part  the rows of one data set
    """
    known = part[part["ok"] & part["guess"].notna() & part["test_samples"].notna()]
    name = str(known["primary"].iloc[0]) if len(known) else ""
    if name != "test_accuracy" or name not in known:
        return None
    known = known[known[name].notna()]  # a selection without a network has none
    if known.empty:
        return None
    cells = [cell for _, cell in groups(known, CELL)]
    return any(_p(cell, name) < ALPHA / len(cells) for cell in cells)


def above_chance(report_data: ReportData) -> ReportData:
    """Only the trials on data sets where some network beats chance, or where chance is unknown."""
    frame = report_data.frame
    if frame.empty:
        return report_data
    hopeless = [
        part.index for _, part in groups(frame, ["dataset", "primary"])
        if beats_chance(part) is False
    ]  # fmt: skip
    dropped = [index for one in hopeless for index in one]
    return replace(report_data, frame=frame.drop(index=dropped)) if dropped else report_data


def _p(cell: pd.DataFrame, name: str) -> float:
    """The p-value that a cell is more accurate than chance: the smaller one of two tests, doubled.

    The first is a binomial test that takes the mean as the accuracy of one network, because seeds
    may share their test samples; the folds of a seed share none. The second is a t-test over seeds.
    """
    from scipy import stats

    values, guess = cell[name], cell["guess"]
    tested = cell["test_samples"]
    if cell["folds"].iloc[0]:
        tested = tested.groupby(cell["seed"]).sum()
    n = round(float(tested.mean()))
    right = math.floor(float(values.mean()) * n + 1e-9)
    ps = [float(stats.binom.sf(right - 1, n, float(guess.mean())))]
    if len(values) >= FEW and Spread.of(values - guess).sd > 0:
        ps.append(from_zero((values - guess).tolist()).p_above(0.0))
    return min(1.0, 2 * min(ps))
