"""Kernels between csr and the order by blocks. A thread walks whole rows of blocks."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.threads import MOVE, threads_again, threads_for

STRANDS = 8
"""Parts of a block that are woven into each other."""

TURN = 3
"""Steps by which each part begins later: in a full block of 8 rows all would be at one column."""

SHORTEST = 32
"""Connections of a part, at least."""


@njit(error_model="numpy")
def woven(connections, rows):
    """Whether a block's rows have so many connections that they would follow too closely."""
    return connections >= 2 * rows and connections >= STRANDS * SHORTEST


@njit(error_model="numpy")
def place(i, connections, weave):
    """Where the i-th connection by rows stands in its block."""
    part = connections // STRANDS
    if not weave or i >= STRANDS * part:
        return i
    strand = i // part
    step = i - strand * part + TURN * strand
    return STRANDS * (step if step < part else step - part) + strand


@njit(cache=True, parallel=True, error_model="numpy")
def fill(row_cuts, column_cuts, block_of, indptr, indices, starts, rows, columns):
    """Count and place the connections; block_of (D,) the number of a column's block."""
    R, C = row_cuts.size - 1, column_cuts.size - 1
    before = threads_for(MOVE * indices.size)
    for r in prange(R):
        for p in range(indptr[row_cuts[r]], indptr[row_cuts[r + 1]]):
            starts[r * C + block_of[indices[p]] + 1] += 1
    for b in range(R * C):
        starts[b + 1] += starts[b]
    for r in prange(R):
        first, height = row_cuts[r], row_cuts[r + 1] - row_cuts[r]
        done = np.zeros(C, dtype=np.int64)
        for k in range(first, row_cuts[r + 1]):
            for p in range(indptr[k], indptr[k + 1]):
                c = block_of[indices[p]]
                start, size = starts[r * C + c], starts[r * C + c + 1] - starts[r * C + c]
                q = start + place(done[c], size, woven(size, height))
                done[c] += 1
                rows[q] = k - first
                columns[q] = indices[p] - column_cuts[c]
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def from_csr(row_cuts, starts, rows, indptr, array, out):
    """A (nnz,) array in csr order into the order by blocks."""
    R = row_cuts.size - 1
    C = (starts.size - 1) // R
    before = threads_for(MOVE * rows.size)
    for r in prange(R):
        first, height = row_cuts[r], row_cuts[r + 1] - row_cuts[r]
        ahead = indptr[first : first + height].copy()
        for b in range(r * C, (r + 1) * C):
            size = starts[b + 1] - starts[b]
            weave = woven(size, height)
            for i in range(size):
                q = starts[b] + place(i, size, weave)
                k = rows[q]
                out[q] = array[ahead[k]]
                ahead[k] += 1
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def to_csr(row_cuts, starts, rows, indptr, array, out):
    """A (nnz,) array by blocks into csr order."""
    R = row_cuts.size - 1
    C = (starts.size - 1) // R
    before = threads_for(MOVE * rows.size)
    for r in prange(R):
        first, height = row_cuts[r], row_cuts[r + 1] - row_cuts[r]
        ahead = indptr[first : first + height].copy()
        for b in range(r * C, (r + 1) * C):
            size = starts[b + 1] - starts[b]
            weave = woven(size, height)
            for i in range(size):
                q = starts[b] + place(i, size, weave)
                k = rows[q]
                out[ahead[k]] = array[q]
                ahead[k] += 1
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def columns_to_csr(row_cuts, column_cuts, starts, rows, columns, indptr, indices):
    """The columns of csr, rising in each row, because blocks and what they hold are walked so."""
    R, C = row_cuts.size - 1, column_cuts.size - 1
    before = threads_for(MOVE * rows.size)
    for r in prange(R):
        first, height = row_cuts[r], row_cuts[r + 1] - row_cuts[r]
        ahead = indptr[first : first + height].copy()
        for c in range(C):
            b = r * C + c
            size = starts[b + 1] - starts[b]
            weave = woven(size, height)
            for i in range(size):
                q = starts[b] + place(i, size, weave)
                k = rows[q]
                indices[ahead[k]] = column_cuts[c] + columns[q]
                ahead[k] += 1
    threads_again(before)
