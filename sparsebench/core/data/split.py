"""Parts of a data set held out, each class in proportion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Labels, Rows
from sparsebench.errors import DataError
from sparsebench.seeds import generator


def stratified_split(y: Labels, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both ascending, each class in proportion.

    round(fraction n) rows are held out where that is possible: of every class with two
    samples at least one is on each side, and a class with one sample is kept.
    """
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes, minlength=classes.size)
    held = np.zeros(y.size, dtype=bool)
    for code, count in enumerate(_held_per_class(counts, fraction)):
        held[rng.permutation(np.flatnonzero(codes == code))[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _held_per_class(counts: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.int64]:
    """Largest remainders first, within 1..count - 1."""
    exact = fraction * counts
    upper = np.minimum(np.ceil(exact).astype(np.int64).clip(min=1), counts - 1)
    held: npt.NDArray[np.int64] = np.minimum(np.floor(exact).astype(np.int64).clip(min=1), upper)
    short = round(fraction * int(counts.sum())) - int(held.sum())
    for code in np.argsort(held - exact, kind="stable"):
        if short > 0 and held[code] < upper[code]:
            held[code] += 1
            short -= 1
    return held


def split(
    y: Labels, fraction: float, root: int, source: str, part: str, *indices: int
) -> tuple[Rows, Rows]:
    kept, held = stratified_split(y, fraction, generator(root, "split", *indices))
    if held.size == 0:
        raise DataError(
            f"{source}: no {part} can be split off, every class has a single sample; expected "
            "classes with two samples or more: is this the right label column?"
        )
    return kept, held
