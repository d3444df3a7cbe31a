"""Layers with the kernels of sparselab (Fofadiya, 0.2.2 on PyPI)."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported
from sparsebench_rivals.params import RivalParams


class SparseLab(RivalParams):
    """The three products of sparselab's SparseLinear, on neuron-major arrays; the rest is ours.

    SparseLinear itself transposes to and from batch-major around the same calls, and finds W^T by
    the id of W, which is wrong once Python uses an id again: here each layer holds its W^T.
    sparselab's layers start from a dense matrix and take no given connections, and its SET and RigL
    move connections without their optimizer state. They cannot be trained like the other backends,
    and are not used. Its matrix is made from Python lists, which cause the peak of memory when a
    layer is made or changed.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> SparseLabLayer:
        return SparseLabLayer(W, bias, optimizer)


class SparseLabLayer(CsrLayer):
    """A layer whose `data` is the memory of sparselab's matrix. That matrix is made anew at each
    topology change, with no spare room in its rows, so its values are in csr order."""

    def index(self, pattern: CsrPattern) -> None:
        from sparselab import PaddedCSR
        from sparselab.layout import transpose_with_perm

        if pattern.indices.dtype != np.int32:
            raise Unsupported("backend 'sparselab' counts connections in 32 bits: at most 2^31 - 1")
        K, D = self.shape
        in_degrees = pattern.in_degrees().tolist()
        self._W = PaddedCSR(
            nrows=K,
            ncols=D,
            values=self.data.tolist(),
            col_indices=pattern.indices.tolist(),
            row_start=pattern.indptr[:-1].tolist(),
            row_nnz=in_degrees,
            row_capacity=in_degrees,
        )
        self.data = np.asarray(self._W.values)
        self._W_t, place = transpose_with_perm(self._W, padding_ratio=0.0)
        self._t_data = np.asarray(self._W_t.values)
        # A column without connections has one slot nobody reads, at place -1.
        self._t_place = np.maximum(place, 0)

    def index_bytes(self) -> int:
        """The bytes of sparselab's own index: the column of each slot, and the start, count and
        capacity of each row."""
        own = 4 * (self.nnz + self._t_data.size) + 12 * (self.shape[0] + self.shape[1])
        return own + int(self._t_data.nbytes + self._t_place.nbytes)

    def forward(self, X: Matrix, Z: Matrix) -> None:
        from sparselab import _core

        np.add(_core.spmm_simd(self._W, X), self._bias[:, None], out=Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        from sparselab import _core

        self._gradient = _core.spmm_grad_w_simd(self._W, DZ, X)
        DZ.sum(axis=1, out=self.bias_gradient)
        if DX is not None:
            if self.nnz:
                np.take(self.data, self._t_place, out=self._t_data)
            DX[...] = _core.spmm_simd(self._W_t, DZ)
