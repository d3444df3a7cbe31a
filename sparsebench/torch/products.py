"""The products of a sparse layer, on the arrays behind torch's tensors.

Letters: N samples, D inputs, K outputs. Arrays are neuron-major, (D, N), as the kernels need them.
Torch gets their transposes, so that nothing is copied between two sparse layers.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array

from sparsebench.core.protocols import Backend
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.discovery import load_plugins

Array = Any


class Products(Protocol):
    """The forward and backward pass of one layer, with the weights and the bias of the last
    `assign`."""

    def assign(self, values: Array, bias: Array) -> None: ...

    def forward(self, X: Array) -> Array:
        """W X + b, (K, N)."""

    def backward(self, X: Array, DZ: Array, inputs: bool) -> tuple[Array | None, Array, Array]:
        """DX (D, N) if `inputs`, else None; DW (nnz,) in csr order; and Db (K,)."""


class Compiled:
    """Products in float32 by a backend's kernels."""

    def __init__(self, pattern: CsrPattern, backend: Backend) -> None:
        zeros = np.zeros(pattern.nnz, np.float32), np.zeros(pattern.shape[0], np.float32)
        self._layer = backend.layer(CsrMatrix(pattern, zeros[0]), zeros[1], _PLAIN)

    def assign(self, values: Array, bias: Array) -> None:
        self._layer.assign(values, bias)

    def forward(self, X: Array) -> Array:
        Z = np.empty((self._layer.shape[0], X.shape[1]), dtype=np.float32)
        self._layer.forward(X, Z)
        return Z

    def backward(self, X: Array, DZ: Array, inputs: bool) -> tuple[Array | None, Array, Array]:
        DX = np.empty_like(X) if inputs else None
        self._layer.backward(X, DZ, DX)
        DW, Db = self._layer.gradients()
        return DX, DW.copy(), Db.copy()


class Reference:
    """Products in float64 by scipy: slow, but exact enough for finite differences."""

    def __init__(self, pattern: CsrPattern) -> None:
        self._pattern, self._rows = pattern, pattern.rows

    def assign(self, values: Array, bias: Array) -> None:
        where = (values.copy(), self._pattern.indices, self._pattern.indptr)
        self._W, self._bias = csr_array(where, shape=self._pattern.shape), bias.copy()

    def forward(self, X: Array) -> Array:
        return self._W @ X + self._bias[:, None]

    def backward(self, X: Array, DZ: Array, inputs: bool) -> tuple[Array | None, Array, Array]:
        DW = np.einsum("pn,pn->p", DZ[self._rows], X[self._pattern.indices])
        return self._W.T @ DZ if inputs else None, DW, DZ.sum(axis=1)


class _NoOptimizer:
    """Stands for an optimizer in a backend's layer. It has no state, because torch's optimizers
    make the steps."""

    slots = ()


_PLAIN: Any = _NoOptimizer()


def backend_of(given: Any) -> Backend:
    """A backend, given its name, its table as in a suite, or the object itself."""
    built: Backend = component("backend", given)
    return built


def component(kind: str, given: Any) -> Any:
    """A component of a kind, given its name, its table as in a suite, or the object itself."""
    if not isinstance(given, str | dict):
        return given
    plugins = load_plugins()
    return plugins.build(kind, plugins.validate(kind, given, kind))
