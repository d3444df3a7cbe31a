"""The kernels as equations: what every fast one is held to. Read these first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
    """The same connections by column: t_indptr (D + 1,), t_rows (nnz,), and for each its place
    in the csr arrays, t_place (nnz,). Rows rise within a column."""
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    t_place = np.argsort(indices, kind="stable")
    t_indptr = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=D))])
    return t_indptr, rows[t_place], t_place


def piecewise_linear(Z: Array, slope: float) -> Array:
    """z where z >= 0, slope z elsewhere."""
    return np.where(Z >= 0, Z, slope * Z)


def piecewise_linear_gradient(Z: Array, slope: float, DA: Array) -> Array:
    """DZ from DA. The sign is that of the pre-activation: with a negative slope outputs are
    positive on both sides."""
    return np.where(Z >= 0, DA, slope * DA)
