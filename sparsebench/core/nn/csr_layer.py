"""A base class of truly sparse layers: canonical csr weights, a bias, and optimizer state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern


class CsrLayer:
    """Z = W X + b with W in csr. A backend's subclass adds the products.

    pattern  the positions of W's connections
    data     (nnz,) their values
    bias     (K,)
    slots    the optimizer's state of W, arrays (nnz,)
    """

    def __init__(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> None:
        self.shape = W.shape
        self.optimizer = optimizer
        self.data = W.data
        self._bias = bias
        self.slots = [self._empty_slot() for _ in optimizer.slots]
        self.bias_slots = [np.zeros_like(bias) for _ in optimizer.slots]
        self.bias_gradient = np.zeros_like(bias)
        self._gradient: Vector | None = None
        self.pattern = W.pattern
        self.index(W.pattern)

    def _empty_slot(self) -> Vector:
        """(nnz,) zeros that take no memory until they are first written."""
        return np.zeros(self.data.size, dtype=np.float32)

    def index(self, pattern: CsrPattern) -> None:
        """Prepare the arrays that the products need besides the pattern. Called for the first
        pattern and after each change of the topology."""
        raise NotImplementedError

    @property
    def nnz(self) -> int:
        return self.pattern.nnz

    @property
    def gradient(self) -> Vector:
        """(nnz,) DW of the last `backward`; allocated at the first use."""
        if self._gradient is None or self._gradient.size != self.nnz:
            self._gradient = np.zeros_like(self.data)
        return self._gradient

    def gradients(self) -> tuple[Vector, Vector]:
        return self.gradient, self.bias_gradient

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        raise NotImplementedError

    def step(self, rate: float, t: int) -> None:
        self.optimizer.update(self.data, self.gradient, self.slots, rate, t, "weight")
        self.step_bias(rate, t)

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        self.gradient[...] = DW
        self.bias_gradient[...] = Db
        self.step(rate, t)

    def assign(self, data: Vector, bias: Vector) -> None:
        self.data[...] = data
        self._bias[...] = bias

    def step_bias(self, rate: float, t: int) -> None:
        self.optimizer.update(self._bias, self.bias_gradient, self.bias_slots, rate, t, "bias")

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        self.backward(X, DZ, DX)
        self.step(rate, t)

    def weights(self) -> CsrMatrix:
        return CsrMatrix(self.pattern, self.data)

    def bias(self) -> Vector:
        return self._bias

    def state(self) -> dict[str, Vector]:
        return dict(zip(self.optimizer.slots, self.slots, strict=True))

    def saved(self) -> Iterator[tuple[str, Vector]]:
        for name, slot in zip(self.optimizer.slots, self.slots, strict=True):
            yield f"state.{name}", slot
        for name, slot in zip(self.optimizer.slots, self.bias_slots, strict=True):
            yield f"bias_state.{name}", slot

    def restore(self, saved: Mapping[str, Vector]) -> None:
        for number, name in enumerate(self.optimizer.slots):
            self.slots[number] = saved[f"state.{name}"]
            self.bias_slots[number] = saved[f"bias_state.{name}"]

    def apply_change(self, change: Change) -> None:
        applied = AppliedChange(self.pattern, change)
        self._gradient = None
        self.data = applied.carry(self.data, change.values)
        self.slots = [applied.carry(slot) for slot in self.slots]
        self.pattern = applied.pattern
        self.index(applied.pattern)

    def scale_state(self, factor: float) -> None:
        for slot in self.slots:
            slot *= np.float32(factor)

    def index_bytes(self) -> int:
        """Bytes of the arrays that `index` made."""
        return 0

    def pattern_bytes(self) -> int:
        return int(self.pattern.indptr.nbytes + self.pattern.indices.nbytes)

    def stored_bytes(self) -> dict[str, int]:
        bias = [self._bias, self.bias_gradient, *self.bias_slots]
        return {
            "weights": int(self.data.nbytes),
            "indices": self.pattern_bytes() + self.index_bytes(),
            "optimizer": sum(int(slot.nbytes) for slot in self.slots),
            "gradient": int(self._gradient.nbytes) if self._gradient is not None else 0,
            "bias": sum(int(array.nbytes) for array in bias),
        }
