"""Selects the connections to drop by their scores. Among equal scores, the earlier connection in
csr order is dropped first (RigL's released code breaks such ties by noise).

A rule is written three times, all with the same results: here, compiled, for many connections; in
`small_layers` for few; and in `reference`, to be read and tested against.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse import small_layers


def all_but_smallest(scores: Vector, count: int) -> Mask:
    """A mask that is False for the `count` smallest scores. Among equal scores the earlier ones are
    False first. NaN counts as the largest.

    Many float32 scores take time O(nnz) and no memory but the result. Few scores, and those of
    other types, are sorted.
    """
    if count <= 0:
        return np.ones(scores.size, dtype=bool)
    if count >= scores.size:
        return np.zeros(scores.size, dtype=bool)
    if scores.dtype != np.float32 or small_layers.is_small(scores.size):
        return small_layers.all_but_smallest(scores, count)
    return _keep_others(scores, False, lambda size: count)


def weakest_per_sign_dropped(w: Vector, zeta: float) -> Mask:
    """A mask that is False for the weakest fraction `zeta` of each sign.

    These are the floor(zeta n) smallest of the n positive weights, and likewise the negative
    weights closest to 0. A weight of 0 counts as positive; NaN is never dropped. Mocanu et al.
    (2018), the topology update. Deviation: among equal weights the earlier connection is dropped
    first.
    """
    if small_layers.is_small(w.size):
        return small_layers.weakest_per_sign_dropped(w, zeta)
    return _keep_others(w, True, lambda size: math.floor(zeta * size))


def _keep_others(numbers: Vector, by_sign: bool, count_of: Callable[[int], int]) -> Mask:
    """A mask that is False for the `count_of(size)` smallest numbers of each group; see
    `compiled.selection` for the groups.

    A histogram of the leading bits shows which bin has the last number to drop, a histogram of the
    next bits shows where in this bin it is, and so on. The numbers are read four times.
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
