"""Kernels that move arrays between csr and the order by blocks. A thread processes whole rows of
blocks."""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.threads import (
    MOVE,
    in_parallel,
    restore_threads,
    threads_for,
)


@njit(error_model="numpy")
def run_length(rows, p, stop):
    """The number of connections from p on, before `stop`, that are in the same row as p."""
    q = p + 1
    while q < stop and rows[q] == rows[p]:
        q += 1
    return q - p


@njit(error_model="numpy")
def sort_by_length(rows, columns, start, stop, old_rows, old_columns, places):
    """Sort the rows of a block in place by their number of connections in it, the fewest first,
    with a stable counting sort.

    old_rows, old_columns (stop - start,)  scratch arrays
    places (stop - start + 2,)             scratch array
    """
    size, longest = stop - start, 0
    p = start
    while p < stop:
        longest = max(longest, run_length(rows, p, stop))
        p += run_length(rows, p, stop)
    places[: longest + 2] = 0
    for p in range(size):
        old_rows[p], old_columns[p] = rows[start + p], columns[start + p]
    p = 0
    while p < size:
        length = run_length(old_rows, p, size)
        places[length + 1] += length
        p += length
    for length in range(longest):
        places[length + 1] += places[length]
    p = 0
    while p < size:
        length = run_length(old_rows, p, size)
        for i in range(length):
            q = start + places[length] + i
            rows[q], columns[q] = old_rows[p + i], old_columns[p + i]
        places[length] += length
        p += length


@in_parallel
@njit(error_model="numpy")
def count_rows(r, row_cuts, C, block_of, indptr, indices, starts):
    """Add the number of connections of each block b in row r of blocks to starts[b + 1]."""
    for p in range(indptr[row_cuts[r]], indptr[row_cuts[r + 1]]):
        starts[r * C + block_of[indices[p]] + 1] += 1


@in_parallel
@njit(error_model="numpy")
def fill_rows(r, row_cuts, column_cuts, block_of, indptr, indices, starts, rows, columns):
    """Place and sort the connections of row r of blocks."""
    C = column_cuts.size - 1
    ahead, largest = starts[r * C : (r + 1) * C].copy(), 0
    for k in range(row_cuts[r], row_cuts[r + 1]):
        for p in range(indptr[k], indptr[k + 1]):
            c = block_of[indices[p]]
            rows[ahead[c]] = k - row_cuts[r]
            columns[ahead[c]] = indices[p] - column_cuts[c]
            ahead[c] += 1
    for b in range(r * C, (r + 1) * C):
        largest = max(largest, starts[b + 1] - starts[b])
    old_rows, old_columns = np.empty(largest, rows.dtype), np.empty(largest, columns.dtype)
    places = np.empty(largest + 2, dtype=np.int64)
    for b in range(r * C, (r + 1) * C):
        sort_by_length(rows, columns, starts[b], starts[b + 1], old_rows, old_columns, places)


@njit(cache=True, error_model="numpy")
def fill(row_cuts, column_cuts, block_of, indptr, indices, starts, rows, columns):
    """Write `starts`, `rows` and `columns` of `block_order.ByBlock`.

    block_of  (D,) the number of each column's block
    """
    R, C = row_cuts.size - 1, column_cuts.size - 1
    before = threads_for(MOVE * indices.size)
    count_rows(R, (row_cuts, C, block_of, indptr, indices, starts))
    for b in range(R * C):
        starts[b + 1] += starts[b]
    fill_rows(R, (row_cuts, column_cuts, block_of, indptr, indices, starts, rows, columns))
    restore_threads(before)


@in_parallel
@njit(error_model="numpy")
def move(r, row_cuts, starts, rows, indptr, there, array, out):
    """Rearrange the connections of row r of blocks: see `reorder`."""
    C = (starts.size - 1) // (row_cuts.size - 1)
    ahead = indptr[row_cuts[r] : row_cuts[r + 1]].copy()
    for q in range(starts[r * C], starts[(r + 1) * C]):
        p = ahead[rows[q]]
        if there:
            out[q] = array[p]
        else:
            out[p] = array[q]
        ahead[rows[q]] = p + 1


@njit(cache=True, error_model="numpy")
def reorder(row_cuts, starts, rows, indptr, there, array, out):
    """out = an array (nnz,) in csr order, rearranged by blocks, or back if not `there`."""
    before = threads_for(MOVE * rows.size)
    move(row_cuts.size - 1, (row_cuts, starts, rows, indptr, there, array, out))
    restore_threads(before)


@in_parallel
@njit(error_model="numpy")
def columns_of_rows(r, row_cuts, column_cuts, starts, rows, columns, indptr, indices):
    C = column_cuts.size - 1
    ahead = indptr[row_cuts[r] : row_cuts[r + 1]].copy()
    for c in range(C):
        for q in range(starts[r * C + c], starts[r * C + c + 1]):
            p = ahead[rows[q]]
            indices[p] = column_cuts[c] + columns[q]
            ahead[rows[q]] = p + 1


@njit(cache=True, error_model="numpy")
def columns_to_csr(row_cuts, column_cuts, starts, rows, columns, indptr, indices):
    """indices (nnz,) = the columns of the connections in csr order. They ascend in each row,
    because the blocks of a row of blocks are read from left to right."""
    before = threads_for(MOVE * rows.size)
    given = (row_cuts, column_cuts, starts, rows, columns, indptr, indices)
    columns_of_rows(row_cuts.size - 1, given)
    restore_threads(before)
