"""Gradients of weights at chosen positions, from inputs X (D, N) and the gradients
DZ (K, N) of pre-activations.

Readable twins: `reference.sddmm` and `reference.largest_free_gradients`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.compiled.sampling import is_closed, next_kept
from sparsebench.core.sparse.threads import by_part


@by_part
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def dots(begin_part, end_part, bounds, rows, columns, X, DZ, out):
    """out[p] = DZ[rows[p]] . X[columns[p]].  rows, columns, out (count,); out is overwritten.

    bounds  of the positions
    """
    N = X.shape[1]
    for part in range(begin_part, end_part):
        for p in range(bounds[part], bounds[part + 1]):
            dz = DZ[rows[p]]
            x = X[columns[p]]
            total = np.float32(0.0)
            for n in range(N):
                total += dz[n] * x[n]
            out[p] = total


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def dots_of_stored(begin_part, end_part, bounds, rows, columns, starts, samples, values, DZ, out):
    """`dots` for X stored by feature: starts (D + 1,), samples and values (stored,)."""
    for part in range(begin_part, end_part):
        for p in range(bounds[part], bounds[part + 1]):
            j = columns[p]
            total = np.float32(0.0)
            for e in range(starts[j], starts[j + 1]):
                total += DZ[rows[p], samples[e]] * values[e]
            out[p] = total


@njit(cache=True)
def collect_above(
    G, first_row, first_column, indptr, indices, keep, closed_rows, closed_columns, limit,
    rows, columns, scores,
):  # fmt: skip
    """Collect the free positions of a tile whose |gradient| is above the limit, in ascending order.

    G (R, C)  gradients of the tile that begins at (first_row, first_column)
    closed_rows (K,), closed_columns (D,)  where nothing may grow; empty: nothing is closed
    rows, columns, scores (R C,)  written from index 0; returns how many were written
    """
    found = 0
    for r in range(G.shape[0]):
        k = first_row + r
        if is_closed(closed_rows, k):
            continue
        end = indptr[k + 1]
        p = indptr[k] + np.searchsorted(indices[indptr[k] : end], first_column)
        p = next_kept(p, end, first_column, indices, keep)
        for c in range(G.shape[1]):
            j = first_column + c
            if p < end and indices[p] == j:
                p = next_kept(p + 1, end, j + 1, indices, keep)
                continue
            score = abs(G[r, c])
            if score > limit and not is_closed(closed_columns, j):
                rows[found] = k
                columns[found] = j
                scores[found] = score
                found += 1
    return found
