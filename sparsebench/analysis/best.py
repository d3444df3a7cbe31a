"""Which cells may be bold: the best, and those that are not shown to be worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsebench.analysis.statistics import Spread, from_zero, holm, welch

ALPHA = 0.05

LEAST_SEEDS = 3
"""Of a cell that takes part: the spread of two is as good as unknown."""

Seeds = Mapping[int, float]
"""The values of a cell by seed."""


def best_cells(cells: Sequence[Seeds], better: int) -> set[int]:
    """The places of the cell with the best mean and of those that are not shown to be worse than
    it, by pairs of seeds where they are the same (Holm over the cells); empty where no cell is
    shown to be worse, as all of it may then be a coin toss."""
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
    """Two-sided. Equal differences have the p of the sign test, as they show no spread."""
    if ours.keys() == theirs.keys():
        found = from_zero([ours[seed] - theirs[seed] for seed in ours])
    else:
        found = welch(mine, their)
    if found.error == 0 and found.effect != 0:
        return float(2 * 0.5 ** min(len(ours), len(theirs)))
    return found.p
