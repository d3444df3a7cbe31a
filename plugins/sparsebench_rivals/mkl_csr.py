"""Truly sparse layers with MKL's sparse products, through sparse-dot-mkl."""

from __future__ import annotations

import os
from importlib import metadata

import numpy as np
from scipy.sparse import csr_matrix

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.csr_layer import CsrLayer
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported
from sparsebench_rivals.params import RivalParams
from sparsebench_rivals.pattern_gradient import pattern_gradient
from sparsebench_rivals.transpose import Transposed


class MklCsr(RivalParams):
    """MKL's SpMM for the forward pass and, with a csr copy of W^T, for DX.

    MKL has no SDDMM, so the gradient of the weights is a plain numba loop; numpy makes the update.
    MKL's own product with W transposed took 20 times as long as with a copy of W^T, at 4096 x 4096,
    1 % dense, batch 128.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> MklCsrLayer:
        return MklCsrLayer(W, bias, optimizer)


class MklCsrLayer(CsrLayer):
    def __init__(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> None:
        load_mkl()
        super().__init__(W, bias, optimizer)

    def index(self, pattern: CsrPattern) -> None:
        K, D = self.shape
        across = Transposed.of(pattern)
        self._t_place = across.place
        self._t_data = np.empty_like(self.data)
        self._W = csr_matrix((self.data, pattern.indices, pattern.indptr), shape=(K, D))
        self._W_t = csr_matrix((self._t_data, across.rows, across.indptr), shape=(D, K))
        self._t_bytes = across.nbytes

    def index_bytes(self) -> int:
        return self._t_bytes + int(self._t_data.nbytes)

    def forward(self, X: Matrix, Z: Matrix) -> None:
        Z[...] = self._bias[:, None]
        self._add_product(self._W, X, Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        pattern_gradient(self.pattern.indptr, self.pattern.indices, X, DZ, self.gradient)
        DZ.sum(axis=1, out=self.bias_gradient)
        if DX is not None:
            np.take(self.data, self._t_place, out=self._t_data)
            DX[...] = 0
            self._add_product(self._W_t, DZ, DX)

    def _add_product(self, matrix: csr_matrix, X: Matrix, out: Matrix) -> None:
        """out += matrix X."""
        from sparse_dot_mkl import dot_product_mkl

        if self.nnz:  # MKL takes no empty matrix
            dot_product_mkl(matrix, X, out=out, out_scalar=1.0)


def load_mkl() -> None:
    """Import sparse-dot-mkl with the libmkl_rt of this environment.

    pip puts the library where the loader does not look and under a name with a version that
    changes, so its path is set in MKL_RT, which sparse-dot-mkl reads. If the user has set MKL_RT,
    it stays; if MKL is not from pip, sparse-dot-mkl searches. Raises Unsupported if none is found.
    """
    library = runtime_library()
    if library is not None:
        os.environ.setdefault("MKL_RT", library)
    try:
        import sparse_dot_mkl  # noqa: F401
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise Unsupported(f"backend 'mkl-csr' finds no libmkl_rt: {reason}") from None


def runtime_library() -> str | None:
    """The path of libmkl_rt in the installed package `mkl`; None without one."""
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        return None
    found = (str(file.locate()) for file in files if file.name.startswith("libmkl_rt"))
    return next(found, None)
