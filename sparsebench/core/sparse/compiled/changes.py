"""Changes of connections: dropped ones are removed from the csr arrays of a layer, grown ones are
merged into them.

The arguments of the kernels here:

indptr (K + 1,), indices (nnz,)     connections before the change, csr
keep (nnz,)                         True for those that are kept
rows (grown,), columns (grown,)     grown connections, in ascending order
starts (K + 1,), merged (new nnz,)  connections after the change, csr
bounds (parts + 1,)                 each thread's part: rows, unless a kernel says otherwise
begin_part, end_part                the range of parts to process
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.threads import by_part


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


@by_part
@njit(cache=True, nogil=True)
def find_falls(begin_part, end_part, bounds, rows, columns, falls):
    """falls[part] = True if the grown connections of the part are not in ascending order.

    bounds  of the grown connections
    """
    for part in range(begin_part, end_part):
        for g in range(max(1, bounds[part]), bounds[part + 1]):
            step = rows[g] - rows[g - 1]
            if step < 0 or (step == 0 and columns[g] <= columns[g - 1]):
                falls[part] = True


@by_part
@njit(cache=True, nogil=True)
def count_merged(begin_part, end_part, bounds, indptr, keep, rows, sizes):
    """sizes (K,) = connections of each row after the change."""
    for part in range(begin_part, end_part):
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
    """Copy the kept values of old[begin:end] to new[q:stop]. Returns the index after the last."""
    for p in range(begin, end):
        if q < stop:
            new[q] = old[p]
        q += keep[p]
    return q


@by_part
@njit(cache=True, nogil=True)
def merge_columns(
    begin_part, end_part, bounds, indptr, indices, keep, rows, columns, starts, merged, clashes
):
    """merged = the columns after the change; clashes[part] = True if a connection is grown where
    one is kept.

    A row's kept columns are copied to its front, then merged with the grown ones from the back,
    so that no kept column is overwritten before it is moved.
    """
    for part in range(begin_part, end_part):
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
        clashes[part] = clash


@by_part
@njit(cache=True, nogil=True)
def carry(
    begin_part, end_part, bounds, indptr, keep, rows, columns, starts, merged, old, grown, step, new
):
    """new (new nnz,) = old (nnz,) at kept connections, and grown[step g] at the g-th grown one.

    step  1; or 0 if all grown connections get grown[0]

    Merges from the back of each row, as `merge_columns` does.
    """
    for part in range(begin_part, end_part):
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


@by_part
@njit(cache=True, nogil=True)
def keep_apart(begin_part, end_part, bounds, indptr, indices, gone_rows, gone_columns, keep):
    """keep (nnz,) = False in gone_rows (K,) and gone_columns (D,). An empty mask removes none."""
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            gone = gone_rows.size > 0 and gone_rows[r]
            for p in range(indptr[r], indptr[r + 1]):
                keep[p] = not (gone or (gone_columns.size > 0 and gone_columns[indices[p]]))


@by_part
@njit(cache=True, nogil=True)
def row_sums_of_magnitude(begin_part, end_part, bounds, indptr, data, sums):
    """sums (K,) = the sum of |data| of each row, added in index order in float64."""
    for part in range(begin_part, end_part):
        for r in range(bounds[part], bounds[part + 1]):
            total = 0.0
            for p in range(indptr[r], indptr[r + 1]):
                total += abs(np.float64(data[p]))
            sums[r] = total


@by_part
@njit(cache=True, nogil=True)
def places(begin_part, end_part, bounds, indptr, indices, rows, columns, found):
    """found[q] = the index of the connection at (rows[q], columns[q]), or -1.  found (count,)

    bounds  of the positions
    """
    for part in range(begin_part, end_part):
        for q in range(bounds[part], bounds[part + 1]):
            low, end, column = indptr[rows[q]], indptr[rows[q] + 1], columns[q]
            high = end
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < column:
                    low = middle + 1
                else:
                    high = middle
            found[q] = low if low < end and indices[low] == column else -1
