"""The compiled loops (kernels) as short, slow Python. The tests compare every fast kernel with
these; read them first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array

Position = tuple[int, int]


def spmm(indptr: Array, indices: Array, data: Array, X: Array) -> Array:
    """Z = W X.  W (K, D) csr, X (D, N), Z (K, N)."""
    Z = np.zeros((indptr.size - 1, X.shape[1]), dtype=X.dtype)
    for k in range(Z.shape[0]):
        row = slice(indptr[k], indptr[k + 1])
        Z[k] = data[row] @ X[indices[row]]
    return Z


def spmm_t(indptr: Array, indices: Array, data: Array, DZ: Array, D: int) -> Array:
    """DX = W^T DZ.  DZ (K, N), DX (D, N)."""
    DX = np.zeros((D, DZ.shape[1]), dtype=DZ.dtype)
    for k in range(DZ.shape[0]):
        for p in range(indptr[k], indptr[k + 1]):
            DX[indices[p]] += data[p] * DZ[k]
    return DX


def sddmm(indptr: Array, indices: Array, DZ: Array, X: Array) -> Array:
    """DW[p] = DZ[k] . X[j] at each connection p = (k, j).  DW (nnz,)."""
    DW = np.zeros(indices.size, dtype=X.dtype)
    for k in range(DZ.shape[0]):
        for p in range(indptr[k], indptr[k + 1]):
            DW[p] = DZ[k] @ X[indices[p]]
    return DW


def transpose_index(indptr: Array, indices: Array, D: int) -> tuple[Array, Array, Array]:
    """The connections in column order: t_indptr (D + 1,), t_rows (nnz,) ascending within a column,
    and t_place (nnz,), the index of each connection in the csr arrays."""
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    t_place = np.argsort(indices, kind="stable")
    t_indptr = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=D))])
    return t_indptr, rows[t_place], t_place


def piecewise_linear(Z: Array, slope: float) -> Array:
    """z where z >= 0, slope z elsewhere."""
    return np.where(Z >= 0, Z, slope * Z)


def piecewise_linear_gradient(Z: Array, slope: float, DA: Array) -> Array:
    """DZ from DA. Takes Z and not the outputs, because with a negative slope the outputs are
    positive for either sign of z."""
    return np.where(Z >= 0, DA, slope * DA)


# --- changes of the topology ---------------------------------------------------------


def all_but_smallest(scores: Array, count: int) -> Array:
    """A mask that is False for the `count` smallest, and among equal ones for the earlier. NaN is
    the largest."""
    keep = np.ones(scores.size, dtype=bool)
    keep[np.argsort(scores, kind="stable")[: max(0, count)]] = False
    return keep


def weakest_per_sign_dropped(w: Array, zeta: float) -> Array:
    """A mask that is False for the floor(zeta n) smallest of the n weights >= 0, and likewise for
    the weights < 0 that are closest to 0."""
    keep = np.ones(w.size, dtype=bool)
    for chosen in (np.flatnonzero(w >= 0), np.flatnonzero(w < 0)):
        keep[chosen] = all_but_smallest(np.abs(w[chosen]), math.floor(zeta * chosen.size))
    return keep


def bits(key: int, counter: int) -> int:
    """64 random bits: SplitMix64 at an index of its stream."""
    x = key + counter * 0x9E3779B97F4A7C15 & 2**64 - 1
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return x ^ x >> 31


def below(bound: int, x: int) -> int:
    """Turn 64 random bits into an integer below the bound."""
    return bound * x >> 64


def row_key(key: int, row: int) -> int:
    """The key of a row's stream."""
    return bits(~key & 2**64 - 1, row)


def drawn(
    key: int, rows: Sequence[int], columns: Sequence[int], taken: set[Position], count: int
) -> list[Position]:
    """The first `count` proposals that are not repeated and not taken, sorted.

    Each proposal has a random row, and a random column that depends on how many proposals the row
    had before.
    """
    found: set[Position] = set()
    proposals: Counter[int] = Counter()
    t = 0
    while len(found) < count:
        r = rows[below(len(rows), bits(key, t))]
        j = columns[below(len(columns), bits(row_key(key, r), proposals[r]))]
        proposals[r] += 1
        t += 1
        if (r, j) not in taken:
            found.add((r, j))
    return sorted(found)


def lowest(
    key: int, rows: Sequence[int], columns: Sequence[int], taken: set[Position], count: int
) -> list[Position]:
    """The `count` positions with the lowest random priorities among those not taken, sorted."""
    free = [(r, j) for r in rows for j in columns if (r, j) not in taken]
    return sorted(sorted(free, key=lambda at: bits(row_key(key, at[0]), at[1]) >> 9)[:count])


def changed(
    old: dict[Position, Any], keep: Sequence[bool], grown: dict[Position, Any]
) -> dict[Position, Any]:
    """Values by position after a change, in csr order; `keep` is in the order of `old`."""
    kept = {at: value for (at, value), stays in zip(old.items(), keep, strict=True) if stays}
    return dict(sorted({**kept, **grown}.items()))


def largest_free_gradients(
    indptr: Array, indices: Array, keep: Array, X: Array, DZ: Array, count: int
) -> list[Position]:
    """The sorted positions of the `count` largest |DZ X^T| where no connection is kept; among equal
    ones the earlier win. Works on a dense matrix: for small layers."""
    scores = np.abs(DZ @ X.T)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    scores[rows[keep], indices[keep]] = -1.0
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    chosen = [divmod(int(flat), X.shape[0]) for flat in order if scores.flat[flat] >= 0]
    return sorted(chosen)
