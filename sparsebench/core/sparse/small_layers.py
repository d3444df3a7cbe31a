"""The operations of `compiled` in numpy, for layers with few connections. The results are the same.

A process that trains only small layers with NumPy and SciPy then needs no Numba, which takes longer
to load and compile than such a network takes to train. Time O(n log n), memory some 50 bytes for
each of the n connections or positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Mask, Vector
from sparsebench.core.sizes import SMALL

Ints = npt.NDArray[np.integer]
Keys = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

MOST = SMALL
"""Arrays of fewer entries are handled by this module; 0 within `disabled`."""


def is_small(*counts: int) -> bool:
    """Whether all these numbers of connections, positions, rows or columns are below `MOST`, so
    that NumPy does the work and Numba need not be loaded."""
    return max(counts) < MOST


@contextmanager
def disabled() -> Iterator[None]:
    """Within the block, use compiled loops for every layer: for warm-ups, whose layers are tiny."""
    global MOST
    before, MOST = MOST, 0
    try:
        yield
    finally:
        MOST = before


PRIORITY_SHIFT = np.uint64(9)
"""Low bits of 64 random bits that a priority does not use, as in `compiled.sampling`."""


# --- selection -----------------------------------------------------------------------


def all_but_smallest(scores: Vector, count: int) -> Mask:
    """(n,) False for the `count` smallest, and among equal ones for the earlier. NaN is the
    largest."""
    keep = np.ones(scores.size, dtype=bool)
    keep[np.argsort(scores, kind="stable")[:count]] = False
    return keep


def weakest_per_sign_dropped(w: Vector, zeta: float) -> Mask:
    """(n,) False for the floor(zeta m) smallest of the m weights >= 0, and likewise for the weights
    < 0 that are closest to 0."""
    keep = np.ones(w.size, dtype=bool)
    for chosen in (np.flatnonzero(w >= 0), np.flatnonzero(w < 0)):
        keep[chosen] = all_but_smallest(np.abs(w[chosen]), math.floor(zeta * chosen.size))
    return keep


# --- random positions ----------------------------------------------------------------


def bits(key: Words | np.uint64, counter: Ints) -> Words:
    """64 random bits for each index in `counter`, from the stream `key` of SplitMix64; see
    `compiled.sampling.bits`."""
    x: Words = key + counter.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def below(bound: int, x: Words) -> Keys:
    """floor(bound x / 2^64), for a bound below 2^32."""
    half, size = np.uint64(32), np.uint64(bound)
    low = (x & np.uint64(2**32 - 1)) * size >> half
    return ((x >> half) * size + low >> half).astype(np.int64)


def drawn(
    key: np.uint64, shape: tuple[int, int], taken: Keys, rows: Ints, columns: Ints, count: int
) -> Keys:
    """The first `count` proposed positions that are not repeated and not taken, in ascending order.
    `compiled.sampling` explains how positions are proposed.

    rows, columns  the numbers of those that may be drawn
    taken          positions row D + column, ascending, like the result
    """
    K, D = shape
    proposals = np.zeros(K, dtype=np.int64)
    found, proposed = np.empty(0, dtype=np.int64), 0
    with np.errstate(over="ignore"):
        while (missing := count - found.size) > 0:
            t = np.arange(proposed, proposed + missing)
            r = rows[below(rows.size, bits(key, t))]
            j = columns[below(columns.size, bits(bits(~key, r), proposals[r] + _before(r)))]
            proposals += np.bincount(r, minlength=K)
            fresh = r.astype(np.int64) * D + j
            found = np.union1d(found, fresh[~_among(fresh, taken)])
            proposed += missing
    return found


def lowest_of_free(
    key: np.uint64, shape: tuple[int, int], taken: Keys, rows: Ints, columns: Ints, count: int
) -> Keys:
    """The `count` free positions with the lowest random priorities, in ascending order. Time
    O(rows columns)."""
    free = (rows.astype(np.int64)[:, None] * shape[1] + columns).ravel()
    free = free[~_among(free, taken)]
    with np.errstate(over="ignore"):
        priority = bits(bits(~key, free // shape[1]), free % shape[1]) >> PRIORITY_SHIFT
    return np.sort(free[np.argsort(priority, kind="stable")[:count]])


def _before(numbers: Ints) -> Keys:
    """For each number, how often it occurs before this place in the array."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(begins, numbers.size))
    before = np.empty(numbers.size, dtype=np.int64)
    before[order] = np.arange(numbers.size) - np.repeat(begins, lengths)
    return before


def _among(numbers: Keys, rising: Keys) -> Mask:
    if not rising.size:
        return np.zeros(numbers.size, dtype=bool)
    at = np.minimum(np.searchsorted(rising, numbers), rising.size - 1)
    found: Mask = rising[at] == numbers
    return found


def complement(keys: Keys, size: int) -> Keys:
    """The numbers below `size` that are not among these."""
    others = np.ones(size, dtype=bool)
    others[keys] = False
    return np.flatnonzero(others)


def places(keys: Keys, wanted: Keys) -> Keys:
    """(count,) the index of each position among the ascending keys; -1 if it is not there."""
    if not keys.size:
        return np.full(wanted.size, -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[at] == wanted, at, -1)


def row_sums(rows: Ints, values: Vector, K: int) -> Vector:
    """(K,) the sum of each row's values, added in index order in float64."""
    return np.bincount(rows, weights=values.astype(np.float64), minlength=K).astype(np.float32)


class Merge:
    """Merges the kept and the grown connections of a layer, row by row.

    indptr (K + 1,), indices (new nnz,)  the connections after the change, csr
    falls    whether the grown connections are not in strictly ascending order; if so, the other
             attributes are not valid
    clashes  whether a connection is grown where one is kept
    """

    def __init__(
        self, indptr: Ints, indices: Ints, keep: Mask, rows: Ints, columns: Ints, dtype: type[Any]
    ) -> None:
        self._keep = keep
        width = max(indices.max(initial=0), columns.max(initial=0)) + 1
        grown = rows.astype(np.int64) * width + columns
        old_rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
        keys = np.concatenate([old_rows[keep] * width + indices[keep], grown])
        self._order = np.argsort(keys, kind="stable")
        keys = keys[self._order]
        self.falls = bool((np.diff(grown) <= 0).any())
        self.clashes = bool((np.diff(keys) == 0).any())
        self.indices = (keys % width).astype(dtype)
        starts = np.arange(indptr.size) * width
        self.indptr = np.searchsorted(keys, starts).astype(dtype)

    def carry(self, old: Array, grown: Array) -> Array:
        """(new nnz,) the old values of kept connections and the values of grown ones.

        old (nnz,)        grown (grown,), or a scalar for all grown connections
        """
        kept = old[self._keep]
        fresh = np.broadcast_to(grown, self._order.size - kept.size)
        return np.concatenate([kept, fresh])[self._order]
