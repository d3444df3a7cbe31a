"""Splits samples into training, validation and test parts, or into folds, class by class."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Array, Labels, Rows
from sparsebench.core.protocols import Objective
from sparsebench.core.trial import fold_of
from sparsebench.errors import DataError
from sparsebench.seeds import generator


def stratified_split(y: Labels, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Hold out a fraction of each class. Returns rows kept and rows held out, both ascending.

    round(fraction n) rows are held out in total, if that is possible: of each class with two
    samples or more, at least one is on each side, and the only sample of a class is kept. Numbers
    per class are rounded by the largest-remainder method.
    """
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes, minlength=classes.size)
    exact = fraction * counts
    upper = np.minimum(np.ceil(exact).astype(np.int64).clip(min=1), counts - 1)
    quotas = np.minimum(np.floor(exact).astype(np.int64).clip(min=1), upper)
    short = round(fraction * int(counts.sum())) - int(quotas.sum())
    for code in np.argsort(quotas - exact, kind="stable"):
        if short > 0 and quotas[code] < upper[code]:
            quotas[code] += 1
            short -= 1
    held = np.zeros(y.size, dtype=bool)
    for code, quota in enumerate(quotas):
        held[rng.permutation(np.flatnonzero(codes == code))[:quota]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def split_rows(
    y: Array, objective: Objective, fraction: float, root: int, source: str, part: str, *index: int
) -> tuple[Rows, Rows]:
    """Hold out a fraction of the rows: class by class if the objective is stratified, else of all
    samples together. Returns rows kept and rows held out. Raises DataError if none can be held out.

    root, index   seed and further numbers of the random stream
    source, part  the data and the part that is held out, for the error
    """
    strata: Array = y if objective.stratified else np.zeros(len(y), dtype=np.int8)
    kept, held = stratified_split(strata, fraction, generator(root, "split", *index))
    if held.size == 0:
        raise DataError(
            f"{source}: no {part} can be split off, every class has a single sample; expected "
            "classes with two samples or more: is this the right label column?"
        )
    return kept, held


def folds_of(y: Labels, folds: int, rng: np.random.Generator) -> Rows:
    """The fold (n,) of each sample, counted from 0; -1 for the only sample of a class, which always
    is in the training part.

    Samples are assigned to folds class by class, so that the sizes of two folds differ by at most
    one sample, in total and within each class. Time O(n log n).
    """
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(y.size)
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    dealt = by_class[counts[codes[by_class]] > 1]
    found = np.full(y.size, -1, dtype=np.int64)
    found[dealt] = np.arange(dealt.size) % folds
    return found


def fold_rows(
    y: Array, objective: Objective, fold: str, root: int, source: str
) -> tuple[Rows, Rows]:
    """The training rows, and the test rows, which are those of this fold. Samples are assigned to
    folds class by class if the objective is stratified. Raises DataError if there are fewer samples
    than folds."""
    number, folds = fold_of(fold)
    strata: Array = y if objective.stratified else np.zeros(len(y), dtype=np.int8)
    found = folds_of(strata, folds, generator(root, "split", 2, folds))
    if found.max(initial=-1) < folds - 1:
        raise DataError(
            f"{source}: {int((found >= 0).sum())} samples of classes with two samples or more; "
            f"expected at least {folds} for fold = {fold!r}"
        )
    return np.flatnonzero(found != number - 1), np.flatnonzero(found == number - 1)
