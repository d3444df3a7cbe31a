"""The smallest of many numbers, by counting and not by sorting.

Numbers are compared as integers made of their bits. Two kinds:

by size  the order of float32; -0 equals 0 and NaN is the largest
by sign  the magnitudes of w >= 0 in group 0, those of w < 0 in group 1; NaN in neither

words  (n,) uint32, the bits of float32        bounds  (parts + 1,) a range for each part
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.threads import by_part

LEVEL_BITS = 11
LEVEL = 1 << LEVEL_BITS
SHIFTS = (22, 11, 0)
"""Of the levels: together they cover the 32 bits."""

SIGN = np.int64(0x80000000)
MAGNITUDE = np.int64(0x7FFFFFFF)
INFINITY = np.int64(0x7F800000)


@njit(cache=True)
def group_and_rank(word, by_sign):
    """(0 or 1, rank); group -1 is never chosen."""
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
    """counts (parts, 2, LEVEL), zeros before: numbers by the LEVEL_BITS of their rank from
    `shift` on, of those of a group whose higher bits are prefixes[group]."""
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
    """keep (n,): False below limits[group], and for the first ties[part, group] at it."""
    for part in range(begin_part, end_part):
        for p in range(bounds[part], bounds[part + 1]):
            group, rank = group_and_rank(words[p], by_sign)
            stays = group < 0 or rank > limits[group]
            if group >= 0 and rank == limits[group]:
                stays = ties[part, group] <= 0
                ties[part, group] -= 1
            keep[p] = stays
