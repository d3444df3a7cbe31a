"""Kernels that move the connections from one order to the other."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.threads import MOVE, threads_again, threads_for


@njit(cache=True, parallel=True, error_model="numpy")
def transpose(cuts, indptr, indices, t_indptr, t_rows, place):
    """Fill the connections by column: a counting sort, stable, over blocks of rows.

    cuts (B + 1,)  bounds of rows; each block counts and places its own connections
    place (nnz,)   where each connection in csr order goes
    """
    B, D = cuts.size - 1, t_indptr.size - 1
    starts = np.zeros((B, D), dtype=t_indptr.dtype)
    before = threads_for(MOVE * indices.size)
    for b in prange(B):
        for p in range(indptr[cuts[b]], indptr[cuts[b + 1]]):
            starts[b, indices[p]] += 1
    total = t_indptr[0]
    for j in range(D):
        t_indptr[j] = total
        for b in range(B):
            count = starts[b, j]
            starts[b, j] = total
            total += count
    t_indptr[D] = total
    for b in prange(B):
        for k in range(cuts[b], cuts[b + 1]):
            for p in range(indptr[k], indptr[k + 1]):
                q = starts[b, indices[p]]
                starts[b, indices[p]] = q + 1
                t_rows[q] = k
                place[p] = q
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def by_row(array, place, out):
    """A (nnz,) array by column into csr order."""
    before = threads_for(MOVE * place.size)
    for p in prange(place.size):
        out[p] = array[place[p]]
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def by_column(array, place, out):
    """A (nnz,) array in csr order into the order of columns."""
    before = threads_for(MOVE * place.size)
    for p in prange(place.size):
        out[place[p]] = array[p]
    threads_again(before)
