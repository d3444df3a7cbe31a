"""Finds the cells of a table to print in bold: the best one, and those not shown to be worse.

A cell is all trials that differ only in seed and fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsebench.analysis.statistics import Spread, from_zero, holm, welch

ALPHA = 0.05

LEAST_SEEDS = 3
"""A cell takes part only with at least this many seeds: a spread over two seeds says little."""

Seeds = Mapping[int, float]
"""The values of a cell by seed (a number for seed and fold, if there are folds)."""


def best_cells(cells: Sequence[Seeds], better: int) -> set[int]:
    """The indices of the cell with the best mean and of all cells that are not shown to be worse.
    `better` is 1 if more is better, -1 if less is.

    Cells with the same seeds are compared pair by pair; p-values are adjusted by Holm over the
    cells. Empty if no cell is shown to be worse, because all differences may then be chance.
    """
    means = {
        i: Spread.of(cell.values()) for i, cell in enumerate(cells) if len(cell) >= LEAST_SEEDS
    }
    if len(means) < 2:
        return set()
    first = max(means, key=lambda i: better * means[i].mean)
    others = [i for i in means if i != first]
    ps = holm([_p_differ(cells[first], cells[i], means[first], means[i]) for i in others])
    worse = {i for i, p in zip(others, ps) if p < ALPHA}
    return means.keys() - worse if worse else set()


def _p_differ(ours: Seeds, theirs: Seeds, mine: Spread, their: Spread) -> float:
    """The two-sided p-value of a difference. If all differences are equal, they have no spread, and
    p is that of the sign test."""
    if ours.keys() == theirs.keys():
        found = from_zero([ours[seed] - theirs[seed] for seed in ours])
    else:
        found = welch(mine, their)
    if found.error == 0 and found.effect != 0:
        return float(2 * 0.5 ** min(len(ours), len(theirs)))
    return found.p
