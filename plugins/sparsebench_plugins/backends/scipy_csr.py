"""Truly sparse layers with scipy's products and numpy, as a baseline for truly sparse backends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, Ints
from sparsebench_plugins.backends.params import ScipyCsrParams

BLOCK = 256
"""Connections per block when the gradient is computed: two gathered blocks of 256 x 128 float32
stay in the L2 cache."""

PAIRS = 2**17
"""Size of a block of connections for csr inputs: the number of pairs of a connection and a stored
value of its input."""


class ScipyCsr(ScipyCsrParams):
    """float32 products on neuron-major arrays; the gradient is computed in blocks of
    connections."""

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> ScipyCsrLayer:
        return ScipyCsrLayer(W, bias, optimizer)


class ScipyCsrLayer(CsrLayer):
    takes_csr = True
    _rows: Ints

    def index(self, pattern: CsrPattern) -> None:
        self._rows = pattern.rows

    def index_bytes(self) -> int:
        return int(self._rows.nbytes)

    def _matrix(self) -> csr_matrix:
        """W as a scipy matrix that shares its arrays with the layer."""
        return csr_matrix(
            (self.data, self.pattern.indices, self.pattern.indptr), shape=self.shape, copy=False
        )

    def forward(self, X: Batch, Z: Matrix) -> None:
        if isinstance(X, CsrBatch):
            product = (self._matrix() @ X.matrix().T.tocsr()).toarray()
        else:
            product = self._matrix() @ X
        np.add(product, self._bias[:, None], out=Z)

    def backward(self, X: Batch, DZ: Matrix, DX: Matrix | None) -> None:
        DZ.sum(axis=1, out=self.bias_gradient)
        if isinstance(X, CsrBatch):
            self._gradient_of_stored(X, DZ)
            return
        DW, columns = self.gradient, self.pattern.indices
        for start in range(0, self.nnz, BLOCK):
            block = slice(start, start + BLOCK)
            np.einsum("pn,pn->p", DZ[self._rows[block]], X[columns[block]], out=DW[block])
        if DX is not None:
            DX[...] = self._matrix().T @ DZ

    def _gradient_of_stored(self, X: CsrBatch, DZ: Matrix) -> None:
        """DW = DZ X^T, where each connection uses only the stored values of its input."""
        by_feature, columns = X.matrix().tocsc(), self.pattern.indices
        met = np.diff(by_feature.indptr)[columns]
        ends = np.cumsum(met, dtype=np.int64)
        pairs = int(ends[-1]) if ends.size else 0
        goals = np.arange(PAIRS, pairs + PAIRS, PAIRS)
        bounds = np.unique([0, *np.searchsorted(ends, goals, side="right"), self.nnz])
        for start, stop in pairwise(bounds):
            block = slice(start, stop)
            connection = np.repeat(np.arange(stop - start), met[block])
            before = ends[block] - met[block] - (ends[start] - met[start])
            value = np.arange(connection.size) + np.repeat(
                by_feature.indptr[columns[block]] - before, met[block]
            )
            dz = DZ[self._rows[block][connection], by_feature.indices[value]]
            self.gradient[block] = np.bincount(
                connection, dz * by_feature.data[value], stop - start
            )
