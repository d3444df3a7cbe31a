"""All free positions, for layers of which less than half is free; O(K D) is O(nnz) there.

Each position has a random priority, whatever is taken: those of the lowest are chosen. A
priority has 55 bits; that two of n are the same has a probability below n^2 / 2^56.

closed_rows (K,), closed_columns (D,): what may not be chosen; empty: nothing is closed.
The other arrays are as in `drawing`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench.core.sparse.compiled.drawing import bits

PRIORITY_BITS = 55
LEVEL_BITS = 11
LEVEL = 1 << LEVEL_BITS
UNUSED = np.uint64(64 - PRIORITY_BITS)


@njit(cache=True)
def is_closed(closed, at):
    return closed.size > 0 and closed[at]


@njit(cache=True)
def next_kept(p, end, column, indices, keep):
    """The first connection from p on that is kept and not left of the column; or the end."""
    while p < end and (indices[p] < column or not keep[p]):
        p += 1
    return p


@njit(cache=True)
def priority(stream, column):
    return np.int64(bits(stream, column) >> UNUSED)


@njit(cache=True, parallel=True)
def count_taken(bounds, indptr, indices, keep, closed_rows, closed_columns, totals):
    """totals (parts,): kept connections in rows and columns that are not closed."""
    for part in prange(bounds.size - 1):
        total = 0
        for r in range(bounds[part], bounds[part + 1]):
            if is_closed(closed_rows, r):
                continue
            for p in range(indptr[r], indptr[r + 1]):
                if keep[p] and not is_closed(closed_columns, indices[p]):
                    total += 1
        totals[part] = total


@njit(cache=True, parallel=True)
def free_histogram(
    bounds, key, D, indptr, indices, keep, closed_rows, closed_columns, shift, prefix, counts
):
    """counts (parts, LEVEL), zeros before: free positions by the LEVEL_BITS of their priority
    from `shift` on, of those whose higher bits are `prefix`."""
    for part in prange(bounds.size - 1):
        for r in range(bounds[part], bounds[part + 1]):
            if is_closed(closed_rows, r):
                continue
            stream = bits(~key, r)
            p, end = indptr[r], indptr[r + 1]
            for j in range(D):
                p = next_kept(p, end, j, indices, keep)
                if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                    continue
                x = priority(stream, j) >> shift
                if x >> LEVEL_BITS == prefix:
                    counts[part, x & (LEVEL - 1)] += 1


@njit(cache=True, parallel=True)
def count_free(bounds, key, D, indptr, indices, keep, closed_rows, closed_columns, limit, accepted):
    """accepted[r]: free positions of row r with a priority up to `limit`."""
    for part in prange(bounds.size - 1):
        for r in range(bounds[part], bounds[part + 1]):
            found = 0
            if not is_closed(closed_rows, r):
                stream = bits(~key, r)
                p, end = indptr[r], indptr[r + 1]
                for j in range(D):
                    p = next_kept(p, end, j, indices, keep)
                    if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                        continue
                    if priority(stream, j) <= limit:
                        found += 1
            accepted[r] = found


@njit(cache=True, parallel=True)
def fill_free(bounds, key, D, indptr, indices, keep, closed_columns, limit, starts, rows, columns):
    """The positions that `count_free` counts, rising."""
    for part in prange(bounds.size - 1):
        for r in range(bounds[part], bounds[part + 1]):
            q = starts[r]
            if q == starts[r + 1]:
                continue
            stream = bits(~key, r)
            p, end = indptr[r], indptr[r + 1]
            for j in range(D):
                p = next_kept(p, end, j, indices, keep)
                if (p < end and indices[p] == j) or is_closed(closed_columns, j):
                    continue
                if priority(stream, j) <= limit:
                    rows[q] = r
                    columns[q] = j
                    q += 1
