"""Kernels that move the connections from one order to the other."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.threads import MOVE, threads_again, threads_for


@njit(cache=True, parallel=True, error_model="numpy")
def transpose(cuts, indptr, indices, t_indptr, t_rows, place):
    """Fill the connections by column: a counting sort, stable, over blocks of rows.

    cuts (B + 1,)  bounds of rows; each block counts and places its own connections
    place (nnz,)   of each connection by column, where it is in csr order
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
                place[q] = p
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def gather(array, place, out):
    """out[q] = array[place[q]]."""
    before = threads_for(MOVE * place.size)
    for q in prange(place.size):
        out[q] = array[place[q]]
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def scatter(array, place, out):
    """out[place[q]] = array[q], where no place comes twice."""
    before = threads_for(MOVE * place.size)
    for q in prange(place.size):
        out[place[q]] = array[q]
    threads_again(before)
