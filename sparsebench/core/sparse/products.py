"""Products of a sparse layer on plain float32 arrays, and gradients where they are wanted.

For looking at a network between steps, whatever the backend trains with. W (K, D), X (D, N),
DZ (K, N).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.sparse.compiled import gradients
from sparsebench.core.sparse.csr import CsrMatrix, Ints
from sparsebench.core.sparse.parts import even_parts, threads_for


def spmm(W: CsrMatrix, X: Matrix) -> Matrix:
    """W X, (K, N)."""
    product: Matrix = _scipy(W) @ X
    return product


def spmm_t(W: CsrMatrix, DZ: Matrix) -> Matrix:
    """W^T DZ, (D, N)."""
    product: Matrix = _scipy(W).T @ DZ
    return product


def gradient_at(rows: Ints, columns: Ints, X: Matrix, DZ: Matrix) -> Vector:
    """(count,) entries of DW = DZ X^T at these positions: SDDMM on a list of positions."""
    out = np.empty(len(rows), dtype=np.float32)
    with threads_for(out.size * X.shape[1] // 16):
        gradients.dots(even_parts(out.size), rows, columns, X, DZ, out)
    return out


def _scipy(W: CsrMatrix) -> csr_array:
    return csr_array((W.data, W.indices, W.indptr), shape=W.shape)
