"""Rows of connections with some taken out and others put in.

indptr (K + 1,), indices (nnz,)    the old connections, csr
keep (nnz,)                        those that stay
rows (grown,), columns (grown,)    the new ones, rising
starts (K + 1,), merged (new nnz,) the connections after the change, csr
bounds (parts + 1,)                rows of each part
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True)
def first_of_row(rows, row):
    """The first grown connection in this row or a later one."""
    low, high = 0, rows.size
    while low < high:
        middle = (low + high) // 2
        if rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, parallel=True)
def find_falls(bounds, rows, columns, falls):
    """falls[part]: a grown connection is not behind the one before it. Bounds are of these."""
    for part in prange(bounds.size - 1):
        for g in range(max(1, bounds[part]), bounds[part + 1]):
            step = rows[g] - rows[g - 1]
            if step < 0 or (step == 0 and columns[g] <= columns[g - 1]):
                falls[part] = True


@njit(cache=True, parallel=True)
def count_merged(bounds, indptr, keep, rows, sizes):
    """sizes (K,): connections of each row after the change."""
    for part in prange(bounds.size - 1):
        g = first_of_row(rows, bounds[part])
        for r in range(bounds[part], bounds[part + 1]):
            size = 0
            for p in range(indptr[r], indptr[r + 1]):
                size += keep[p]
            while g < rows.size and rows[g] == r:
                size += 1
                g += 1
            sizes[r] = size


@njit(cache=True)
def move_kept(begin, end, keep, old, new, q, stop):
    """new[q:stop] begins with what stays of old[begin:end]. Returns the place behind it."""
    for p in range(begin, end):
        if q < stop:
            new[q] = old[p]
        q += keep[p]
    return q


@njit(cache=True, parallel=True)
def merge_columns(bounds, indptr, indices, keep, rows, columns, starts, merged, taken):
    """The columns after the change; taken[part]: one is grown where one is kept.

    The kept ones of a row go to its front; from there it is merged in place, from behind.
    """
    for part in prange(bounds.size - 1):
        first = first_of_row(rows, bounds[part])
        clash = False
        for r in range(bounds[part], bounds[part + 1]):
            start, stop = starts[r], starts[r + 1]
            k = move_kept(indptr[r], indptr[r + 1], keep, indices, merged, start, stop) - 1
            last = first + stop - k - 2
            g = last
            q = stop - 1
            while g >= first and k >= start:
                kept, grown = merged[k], columns[g]
                clash |= kept == grown
                fresh = grown > kept
                merged[q] = grown if fresh else kept
                g -= fresh
                k -= not fresh
                q -= 1
            while g >= first:
                merged[q] = columns[g]
                g -= 1
                q -= 1
            first = last + 1
        taken[part] = clash


@njit(cache=True, parallel=True)
def carry(bounds, indptr, keep, rows, columns, starts, merged, old, grown, step, new):
    """new (new nnz,): old (nnz,) where a connection stays, grown[step g] where the g-th grew.

    step  1, or 0: grown[0] everywhere
    """
    for part in prange(bounds.size - 1):
        first = first_of_row(rows, bounds[part])
        for r in range(bounds[part], bounds[part + 1]):
            start, stop = starts[r], starts[r + 1]
            k = move_kept(indptr[r], indptr[r + 1], keep, old, new, start, stop) - 1
            last = first + stop - k - 2
            g = last
            q = stop - 1
            while g >= first and k >= start:
                fresh = columns[g] == merged[q]
                stays, comes = new[k], grown[step * g]
                new[q] = comes if fresh else stays
                g -= fresh
                k -= not fresh
                q -= 1
            while g >= first:
                new[q] = grown[step * g]
                g -= 1
                q -= 1
            first = last + 1


@njit(cache=True, parallel=True)
def keep_apart(bounds, indptr, indices, gone_rows, gone_columns, keep):
    """keep (nnz,): False in gone_rows (K,) and gone_columns (D,); empty: none is gone."""
    for part in prange(bounds.size - 1):
        for r in range(bounds[part], bounds[part + 1]):
            gone = gone_rows.size > 0 and gone_rows[r]
            for p in range(indptr[r], indptr[r + 1]):
                keep[p] = not (gone or (gone_columns.size > 0 and gone_columns[indices[p]]))


@njit(cache=True, parallel=True)
def row_sums_of_magnitude(bounds, indptr, data, sums):
    """sums (K,): |data| by row, added up in float64 in index order."""
    for part in prange(bounds.size - 1):
        for r in range(bounds[part], bounds[part + 1]):
            total = 0.0
            for p in range(indptr[r], indptr[r + 1]):
                total += abs(np.float64(data[p]))
            sums[r] = total
