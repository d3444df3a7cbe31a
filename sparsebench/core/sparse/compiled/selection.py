"""Finds the smallest of many numbers with histograms instead of sorting.

Numbers are compared as integers made of their bits, in one of two ways:

by size  all numbers in the order of float32; -0 equals 0 and NaN is the largest
by sign  group 0 ranks numbers >= 0 and group 1 those < 0, both by magnitude; NaN is in neither

words  (n,) uint32, the bits of float32        bounds  (parts + 1,) a range for each part
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.threads import by_part

LEVEL_BITS = 11
LEVEL = 1 << LEVEL_BITS
SHIFTS = (22, 11, 0)
"""The lowest bit of each level; together the levels cover the 32 bits."""

SIGN = np.int64(0x80000000)
MAGNITUDE = np.int64(0x7FFFFFFF)
INFINITY = np.int64(0x7F800000)


@njit(cache=True)
def group_and_rank(word, by_sign):
    """The group and the rank of a number. By size the group is 0; by sign it is 0 or 1, or -1 for
    NaN, which is never chosen."""
    word = np.int64(word)
    size = word & MAGNITUDE
    negative = word != size and size != 0
    if by_sign:
        if size > INFINITY:
            return -1, size
        return np.int64(negative), size
    if size > INFINITY:
        return 0, SIGN + MAGNITUDE
    return 0, SIGN - size if negative else SIGN + size


@by_part
@njit(cache=True, nogil=True)
def histogram(begin_part, end_part, bounds, words, by_sign, shift, prefixes, counts):
    """Histogram of the numbers of each group whose rank begins with the bits prefixes[group], by
    the next LEVEL_BITS bits, those from bit `shift` on.

    counts  (parts, 2, LEVEL), zeros before
    """
    for part in range(begin_part, end_part):
        mine = counts[part]
        for p in range(bounds[part], bounds[part + 1]):
            group, rank = group_and_rank(words[p], by_sign)
            if group >= 0:
                rank >>= shift
                if rank >> LEVEL_BITS == prefixes[group]:
                    mine[group, rank & (LEVEL - 1)] += 1


@by_part
@njit(cache=True, nogil=True)
def keep_others(begin_part, end_part, bounds, words, by_sign, limits, ties, keep):
    """keep (n,) = False for ranks below limits[group], and for the first ties[part, group] numbers
    of each part whose rank equals the limit."""
    for part in range(begin_part, end_part):
        for p in range(bounds[part], bounds[part + 1]):
            group, rank = group_and_rank(words[p], by_sign)
            stays = group < 0 or rank > limits[group]
            if group >= 0 and rank == limits[group]:
                stays = ties[part, group] <= 0
                ties[part, group] -= 1
            keep[p] = stays
