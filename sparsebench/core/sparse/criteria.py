"""Which connections to drop, and how ties are decided: of equal scores, such as equal magnitudes,
the earlier connection in csr order goes first (RigL's released code breaks such ties by noise).

Twins to be read are in `sparsebench.core.sparse.reference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse import small


def all_but_smallest(scores: Vector, count: int) -> Mask:
    """True for all but the `count` smallest scores; of equal ones the earlier goes first.

    Scores that are NaN go last. O(nnz), and no memory but the result for float32; scores of
    another type are sorted.
    """
    if count <= 0:
        return np.ones(scores.size, dtype=bool)
    if count >= scores.size:
        return np.zeros(scores.size, dtype=bool)
    if scores.dtype != np.float32 or small.holds(scores.size):
        return small.all_but_smallest(scores, count)
    return _keep_others(scores, False, lambda size: count)


def weakest_per_sign_dropped(w: Vector, zeta: float) -> Mask:
    """True for what stays after dropping the weakest `zeta` of each sign.

    floor(zeta n) of the n positive weights, the smallest ones, and as large a fraction of
    the negative ones, the largest; 0 counts as positive, and NaN stays. Mocanu et al. (2018),
    the topology update. Deviation: of equal weights the earlier connection is dropped first.
    """
    if small.holds(w.size):
        return small.weakest_per_sign_dropped(w, zeta)
    return _keep_others(w, True, lambda size: math.floor(zeta * size))


def _keep_others(numbers: Vector, by_sign: bool, count_of: Callable[[int], int]) -> Mask:
    """Drops the `count_of(size)` smallest of each group; see `selection` for the groups.

    A histogram of the leading bits tells in which bin the last one to go is, one of the next
    bits of that bin's numbers where in it, and so on: reads the numbers four times.
    """
    from sparsebench.core.sparse.compiled import selection
    from sparsebench.core.sparse.threads import even_parts, threads_for

    words = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    keep = np.empty(words.size, dtype=bool)
    with threads_for(words.size):
        bounds = even_parts(words.size)
        counts = np.empty((bounds.size - 1, 2, selection.LEVEL), dtype=np.int64)
        limits, left = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
        for level, shift in enumerate(selection.SHIFTS):
            counts[...] = 0
            selection.histogram(bounds, words, by_sign, shift, limits, counts)
            upto = counts.sum(axis=0).cumsum(axis=1)
            if level == 0:
                left[:] = [count_of(int(size)) for size in upto[:, -1]]
            for group in (0, 1):
                bin_ = int(np.searchsorted(upto[group], left[group]))
                left[group] -= upto[group, bin_ - 1] if bin_ > 0 else 0
                limits[group] = limits[group] << selection.LEVEL_BITS | bin_
        at_limit = counts[:, (0, 1), limits & (selection.LEVEL - 1)]
        ties = np.ascontiguousarray(left - (at_limit.cumsum(axis=0) - at_limit))
        selection.keep_others(bounds, words, by_sign, limits, ties, keep)
    return keep
