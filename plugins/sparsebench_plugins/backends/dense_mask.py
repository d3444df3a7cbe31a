"""Simulated sparsity with a dense weight matrix and a 0/1 mask, the usual baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern
from sparsebench_plugins.backends.params import DenseMaskParams


class DenseMask(DenseMaskParams):
    """Dense float32 products by BLAS. Memory and work are K x D for any density. At density 1
    neither mask nor indices are stored."""

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> DenseMaskLayer:
        return DenseMaskLayer(W, bias, optimizer)


class DenseMaskLayer:
    """A layer with dense W (K, D), which is 0 where the mask M (K, D) is 0. Gradient and optimizer
    state are dense too.

    A layer with all connections stores neither mask nor pattern until a change drops a connection.
    Results are the same bit for bit, because a mask of ones changes nothing.
    """

    def __init__(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> None:
        self.shape = W.shape
        self.optimizer = optimizer
        at = (W.rows, W.indices)
        self.W = np.zeros(W.shape, dtype=W.data.dtype)
        self.W[at] = W.data
        self._partial: CsrPattern | None = None
        self.M: Matrix | None = None
        if W.nnz < self.W.size:
            self._partial = W.pattern
            self.M = np.zeros(W.shape, dtype=W.data.dtype)
            self.M[at] = 1
        self.DW = np.zeros(W.shape, dtype=W.data.dtype)
        self._slots = [np.zeros(W.shape, dtype=W.data.dtype) for _ in optimizer.slots]
        self._bias = bias
        self._bias_slots = [np.zeros_like(bias) for _ in optimizer.slots]
        self._bias_gradient = np.zeros_like(bias)

    @property
    def _pattern(self) -> CsrPattern:
        """The pattern of the connections. That of a full layer is made at each call and not
        stored."""
        return CsrPattern.full(self.shape) if self._partial is None else self._partial

    @property
    def nnz(self) -> int:
        return int(self.W.size) if self._partial is None else self._partial.nnz

    def forward(self, X: Matrix, Z: Matrix) -> None:
        np.matmul(self.W, X, out=Z)
        Z += self._bias[:, None]

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        np.matmul(DZ, X.T, out=self.DW)
        if self.M is not None:
            self.DW *= self.M
        DZ.sum(axis=1, out=self._bias_gradient)
        if DX is not None:
            np.matmul(self.W.T, DZ, out=DX)

    def gradients(self) -> tuple[Vector, Vector]:
        return self._on_pattern(self.DW), self._bias_gradient

    def step(self, rate: float, t: int) -> None:
        self.optimizer.update(self.W, self.DW, self._slots, rate, t, "weight")
        self.optimizer.update(self._bias, self._bias_gradient, self._bias_slots, rate, t, "bias")

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        self._place(self.DW, DW)
        self._bias_gradient[...] = Db
        self.step(rate, t)

    def assign(self, data: Vector, bias: Vector) -> None:
        self._place(self.W, data)
        self._bias[...] = bias

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        self.backward(X, DZ, DX)
        self.step(rate, t)

    def weights(self) -> CsrMatrix:
        return CsrMatrix(self._pattern, self._on_pattern(self.W))

    def bias(self) -> Vector:
        return self._bias

    def state(self) -> dict[str, Vector]:
        names = self.optimizer.slots
        return {n: self._on_pattern(slot) for n, slot in zip(names, self._slots, strict=True)}

    def saved(self) -> Iterator[tuple[str, Vector]]:
        """As `Layer.saved`. Arrays are saved only at the connections, because they are 0
        elsewhere."""
        for name, slot in zip(self.optimizer.slots, self._slots, strict=True):
            yield f"state.{name}", self._on_pattern(slot)
        for name, slot in zip(self.optimizer.slots, self._bias_slots, strict=True):
            yield f"bias_state.{name}", slot

    def restore(self, saved: Mapping[str, Vector]) -> None:
        for number, name in enumerate(self.optimizer.slots):
            self._place(self._slots[number], saved[f"state.{name}"])
            self._bias_slots[number][...] = saved[f"bias_state.{name}"]

    def apply_change(self, change: Change) -> None:
        pattern = self._pattern
        applied = AppliedChange(pattern, change)
        dropped = ~change.keep
        gone = (pattern.rows[dropped], pattern.indices[dropped])
        grown = (change.rows, change.columns)
        for array in (self.W, self.DW, *self._slots):
            array[gone] = 0
            array[grown] = 0
        self.W[grown] = change.values
        if applied.pattern.nnz == self.W.size:
            self._partial = self.M = None
            return
        if self.M is None:
            self.M = np.ones_like(self.W)
        self.M[gone] = 0
        self.M[grown] = 1
        self._partial = applied.pattern

    def scale_state(self, factor: float) -> None:
        for slot in self._slots:
            slot *= slot.dtype.type(factor)

    def stored_bytes(self) -> dict[str, int]:
        bias = [self._bias, self._bias_gradient, *self._bias_slots]
        stored = {
            "weights": int(self.W.nbytes),
            "optimizer": sum(int(slot.nbytes) for slot in self._slots),
            "gradient": int(self.DW.nbytes),
            "bias": sum(int(array.nbytes) for array in bias),
        }
        if self.M is not None and self._partial is not None:
            stored["mask"] = int(self.M.nbytes)
            stored["indices"] = int(self._partial.indptr.nbytes + self._partial.indices.nbytes)
        return stored

    def _on_pattern(self, dense: Matrix) -> Vector:
        """(nnz,) copies of the entries of a dense array at the connections, in csr order."""
        if self._partial is None:
            return dense.flatten()
        return dense[self._partial.rows, self._partial.indices]

    def _place(self, dense: Matrix, values: Vector) -> None:
        """Write `values` (nnz,), in csr order, at the connections. Other entries are not changed;
        they are 0."""
        if self._partial is None:
            dense[...] = values.reshape(self.shape)
        else:
            dense[self._partial.rows, self._partial.indices] = values
