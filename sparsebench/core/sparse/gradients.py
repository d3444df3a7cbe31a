"""Products of a sparse layer on plain float32 arrays, and gradients at chosen positions.

They serve to observe a network between steps, whatever types of arrays its backend uses. W (K, D),
X (D, N), DZ (K, N). X may be a `CsrBatch`, which is never made dense.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sparsebench.core.arrays import Mask, Matrix, Vector
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.sparse.csr import NO_MASK, CsrMatrix, CsrPattern, Ints
from sparsebench.core.sparse.positions import best

TILE = 2**16
"""Number of float32 entries of a tile: 256 KiB, so that it is still in the L2 cache when its
gradients are read."""


def spmm(W: CsrMatrix, X: Batch) -> Matrix:
    """W X, (K, N)."""
    matrix = csr_array((W.data, W.indices, W.indptr), shape=W.shape)
    product: Matrix = (
        (matrix @ X.matrix().T.tocsr()).toarray() if isinstance(X, CsrBatch) else matrix @ X
    )
    return product


def spmm_t(W: CsrMatrix, DZ: Matrix) -> Matrix:
    """W^T DZ, (D, N)."""
    product: Matrix = csr_array((W.data, W.indices, W.indptr), shape=W.shape).T @ DZ
    return product


def gradient_at(rows: Ints, columns: Ints, X: Batch, DZ: Matrix) -> Vector:
    """(count,) the entries of DW = DZ X^T at these positions: SDDMM on a list of positions."""
    from sparsebench.core.sparse.compiled import gradients
    from sparsebench.core.sparse.threads import even_parts, threads_for

    out = np.empty(len(rows), dtype=np.float32)
    if isinstance(X, CsrBatch):
        Xt = X.matrix().tocsc()
        with threads_for(out.size):
            gradients.dots_of_stored(
                even_parts(out.size), rows, columns, Xt.indptr, Xt.indices, Xt.data, DZ, out
            )
        return out
    with threads_for(out.size * X.shape[1] // 16):
        gradients.dots(even_parts(out.size), rows, columns, X, DZ, out)
    return out


def largest_free_gradients(
    X: Batch,
    DZ: Matrix,
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    closed_rows: Mask | None = None,
    closed_columns: Mask | None = None,
) -> tuple[Ints, Ints, Vector]:
    """Rows, columns and |DW| of the `count` free positions with the largest |DW|, sorted by
    position.

    X (D, N), DZ (K, N)  of one mini-batch
    keep                 (nnz,) False for the pattern's dropped connections, whose positions are
                         free
    closed_rows          (K,) True for rows where nothing may grow
    closed_columns       (D,) the same for columns

    Among equal gradients the earlier position wins; NaN never does. Returns fewer than `count` if
    fewer positions are free.

    The dense gradient DW = DZ X^T is computed in tiles, and only the best positions so far are
    kept: time O(K D N), memory one tile and three numbers for each of 2 `count` positions.
    """
    from sparsebench.core.sparse.compiled import gradients

    K, D = pattern.shape
    dtype = pattern.indices.dtype
    none: Ints = np.empty(0, dtype=dtype)
    found = [(none, none, np.empty(0, dtype=np.float32))]
    if count <= 0:
        return found[0]
    no_rows, no_columns = (NO_MASK if m is None else m for m in (closed_rows, closed_columns))
    out = (np.empty(TILE, dtype), np.empty(TILE, dtype), np.empty(TILE, np.float32))
    tile = np.empty(TILE, dtype=np.float32)
    limit, size = np.float32(-1.0), 0
    width = min(D, TILE)
    height = max(1, TILE // width)  # a tile of several rows has all columns: positions rise
    strips = [(c, _columns(X, c, width)) for c in range(0, D, width)]
    for r in range(0, K, height):
        for c, x in strips:
            dz = DZ[r : r + height]
            G = tile[: len(dz) * x.shape[1]].reshape(len(dz), x.shape[1])
            if isinstance(x, np.ndarray):
                np.matmul(dz, x, out=G)
            else:
                G[...] = dz @ x
            n = gradients.collect_above(
                G, r, c, pattern.indptr, pattern.indices, keep, no_rows, no_columns, limit, *out
            )
            if n:
                found.append((out[0][:n].copy(), out[1][:n].copy(), out[2][:n].copy()))
                size += n
            if size > 2 * count:
                found = [_best_of(found, count)]
                limit, size = found[0][2].min(), count
    return _best_of(found, count)


def largest_of_columns(X: Batch, DZ: Matrix, columns: Ints) -> Vector:
    """(count,) the largest |DW| in each of these columns. DW = DZ X^T is computed in tiles.

    X (D, N), DZ (K, N)  of one mini-batch
    """
    x: Any = X.matrix()[:, columns] if isinstance(X, CsrBatch) else X[columns].T
    best = np.zeros(len(columns), dtype=np.float32)
    height = max(1, TILE // max(1, len(columns)))
    for start in range(0, len(DZ), height):
        np.maximum(best, abs(DZ[start : start + height] @ x).max(axis=0), out=best)
    return best


def _columns(X: Batch, start: int, width: int) -> Any:
    """(N, width) the features from `start` on, as an array or scipy's csr."""
    if isinstance(X, CsrBatch):
        return X.matrix()[:, start : start + width]
    return X[start : start + width].T


def _best_of(parts: list[tuple[Ints, Ints, Vector]], count: int) -> tuple[Ints, Ints, Vector]:
    rows, columns, scores = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return best(rows, columns, scores, count)
