"""Layers with the kernels of SparseProp (Nikdan et al. 2023, arXiv 2302.04852; 0.1.14 on PyPI)."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported
from sparsebench_rivals.params import RivalParams

LIMIT = 2**31
"""SparseProp's kernels count connections, and entries of X and Z, in 32 bits."""


class SparseProp(RivalParams):
    """SparseProp's forward, and its backward that computes DX and DW in one pass over W; the rest
    is ours.

    SparseProp's own SparseLinear transposes around the same calls, and wrongly for an input that is
    itself a transposed view. It starts from a dense matrix, loses connections of value 0, and can
    only drop connections, without their optimizer state. It cannot be trained like the other
    backends, and is not used. DX is computed for the first layer too, which does not need it.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> SparsePropLayer:
        return SparsePropLayer(W, bias, optimizer)


class SparsePropLayer(CsrLayer):
    def index(self, pattern: CsrPattern) -> None:
        """Prepare nothing, because the kernels read the csr arrays."""
        if pattern.indices.dtype != np.int32:
            raise Unsupported(f"backend 'sparseprop' cannot count {pattern.nnz} connections")

    def forward(self, X: Matrix, Z: Matrix) -> None:
        from sparseprop import backend

        if max(X.size, Z.size) >= LIMIT:
            raise Unsupported(
                f"backend 'sparseprop' cannot count {max(X.size, Z.size)} activations of a layer; "
                f"its limit is 2^31 - 1: take a smaller batch than {X.shape[1]}"
            )
        Z[...] = self._bias[:, None]
        backend.sparse_linear_vectorized_forward(
            X, self.pattern.indptr, self.pattern.indices, self.data, Z
        )

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        from sparseprop import backend

        DX = DX if DX is not None else np.empty_like(X)
        DX[...] = 0
        backend.sparse_linear_vectorized_backward(
            X, self.pattern.indptr, self.pattern.indices, self.data, DZ, DX, self.gradient
        )
        DZ.sum(axis=1, out=self.bias_gradient)
