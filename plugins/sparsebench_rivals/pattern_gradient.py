"""The gradient of the weights, where connections are, as a plain numba loop: for libraries without
an SDDMM."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, parallel=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def pattern_gradient(indptr, indices, X, DZ, DW):
    """DW = DZ X^T, only where W has connections.

    indptr (K + 1,), indices (nnz,)    X (D, N)    DZ (K, N)    DW (nnz,) overwritten
    Each thread owns rows of W, and the entries of DW in them.
    """
    N = X.shape[1]
    for k in prange(indptr.size - 1):
        dz = DZ[k]
        for p in range(indptr[k], indptr[k + 1]):
            x = X[indices[p]]
            total = np.float32(0.0)
            for n in range(N):
                total += dz[n] * x[n]
            DW[p] = total
