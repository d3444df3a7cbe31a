"""Truly sparse layers with scipy's products and numpy: the fair baseline."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, Ints
from sparsebench_plugins.backends.params import ScipyCsrParams

BLOCK = 256
"""Connections per block of the pattern's gradient: two gathered blocks of 256 x 128 float32
stay in the second-level cache."""


class ScipyCsr(ScipyCsrParams):
    """float32 products on neuron-major arrays; the gradient on the pattern in blocks."""

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> ScipyCsrLayer:
        return ScipyCsrLayer(W, bias, optimizer)


class ScipyCsrLayer(CsrLayer):
    _rows: Ints

    def index(self, pattern: CsrPattern) -> None:
        self._rows = pattern.rows

    def index_bytes(self) -> int:
        return int(self._rows.nbytes)

    def _matrix(self) -> csr_matrix:
        """W as scipy sees it; shares its arrays with the layer."""
        return csr_matrix(
            (self.data, self.pattern.indices, self.pattern.indptr), shape=self.shape, copy=False
        )

    def forward(self, X: Matrix, Z: Matrix) -> None:
        np.add(self._matrix() @ X, self._bias[:, None], out=Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        DW, columns = self.gradient, self.pattern.indices
        for start in range(0, self.nnz, BLOCK):
            block = slice(start, start + BLOCK)
            np.einsum("pn,pn->p", DZ[self._rows[block]], X[columns[block]], out=DW[block])
        DZ.sum(axis=1, out=self.bias_gradient)
        if DX is not None:
            DX[...] = self._matrix().T @ DZ
