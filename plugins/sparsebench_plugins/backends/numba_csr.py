"""Truly sparse layers with numba kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.protocols import Optimizer
from sparsebench.sparse.csr import CsrMatrix, CsrPattern, Ints
from sparsebench.training.dropout import Dropout
from sparsebench_plugins.activations.untrained import Untrained
from sparsebench_plugins.backends import numba_kernels as kernels
from sparsebench_plugins.backends.csr_layer import CsrLayer, Matrix, Vector
from sparsebench_plugins.backends.params import NoParams
from sparsebench_plugins.optimizers.rules import SGD

NOT_WANTED: Matrix = np.empty((0, 0), dtype=np.float32)
NO_STATE: Vector = np.empty(0, dtype=np.float32)


class NumbaCsr(NoParams):
    """csr with a second index by column; backward and SGD's update in one pass."""

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> NumbaCsrLayer:
        return NumbaCsrLayer(W, bias, optimizer)

    def unit(self, negative_slope: float, dropout: Dropout | None) -> NumbaUnit:
        return NumbaUnit(negative_slope, dropout)


class NumbaCsrLayer(CsrLayer):
    t_indptr: Ints
    t_rows: Ints
    t_place: Ints

    def index(self, pattern: CsrPattern) -> None:
        dtype = pattern.indices.dtype
        self.t_indptr = np.zeros(self.shape[1] + 1, dtype=dtype)
        self.t_rows = np.empty(pattern.nnz, dtype=dtype)
        self.t_place = np.empty(pattern.nnz, dtype=dtype)
        kernels.transpose_index(
            pattern.indptr, pattern.indices, self.t_indptr, self.t_rows, self.t_place
        )

    def index_bytes(self) -> int:
        return int(self.t_indptr.nbytes + self.t_rows.nbytes + self.t_place.nbytes)

    def forward(self, X: Matrix, Z: Matrix) -> None:
        kernels.forward(self.pattern.indptr, self.pattern.indices, self.data, self._bias, X, Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        kernels.backward(
            self.t_indptr,
            self.t_rows,
            self.t_place,
            self.data,
            X,
            DZ,
            DX if DX is not None else NOT_WANTED,
            self.gradient,
        )
        kernels.sum_rows(DZ, self.bias_gradient)

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        rule = self.optimizer
        if not isinstance(rule, SGD):
            super().backward_and_step(X, DZ, DX, rate, t)
            return
        f = np.float32
        decay = rule.weight_decay
        shrink = {
            "coupled": 1.0,
            "decoupled": 1.0 - rate * decay,
            "decoupled-unscaled": 1.0 - decay,
        }[rule.decay]
        kernels.backward_and_sgd(
            self.t_indptr,
            self.t_rows,
            self.t_place,
            self.data,
            self.slots[0] if self.slots else NO_STATE,
            X,
            DZ,
            DX if DX is not None else NOT_WANTED,
            f(rate),
            f(rule.momentum),
            rule.nesterov and rule.momentum > 0,
            f(decay if rule.decay == "coupled" else 0.0),
            f(shrink),
        )
        kernels.sum_rows(DZ, self.bias_gradient)
        self.step_bias(rate, t)


class NumbaUnit(Untrained):
    """A piecewise linear activation and dropout in one pass, in place; a byte per activation."""

    def __init__(self, slope: float, dropout: Dropout | None) -> None:
        self._slope = np.float32(slope)
        self._dropout = dropout
        self._scale = dropout.scale if dropout is not None else np.float32(1.0)
        self._state: npt.NDArray[np.uint8] = np.empty((0, 0), dtype=np.uint8)

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        if t is None:
            kernels.activate_only(Z, self._slope)
            return Z
        if self._state.shape != Z.shape:
            self._state = np.empty(Z.shape, dtype=np.uint8)
        key, threshold = np.uint32(0), np.uint32(0)
        if self._dropout is not None:
            key, threshold = self._dropout.step_key(t), self._dropout.threshold
        kernels.activate(Z, self._slope, self._state, key, threshold, self._scale)
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        kernels.deactivate(DA, self._slope, self._state, self._scale)
        return DA

    def stored_bytes(self) -> int:
        return int(self._state.nbytes)
