"""A layer whose weights are a function of the parameters that are trained, on any backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.protocols import Layer, Optimizer
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern


class Parametrisation(Protocol):
    """Computes the weights of a layer from its trained parameters.

    theta  (nnz,) a parameter for each connection
    own    further trained arrays by name
    """

    def start(self, pattern: CsrPattern) -> dict[str, Vector]:
        """The initial values of the further arrays. Their sizes must not depend on the number of
        connections."""

    def weights(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> Vector:
        """The weights (nnz,) float32, in a new array."""

    def gradients(
        self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector], DW: Vector
    ) -> tuple[Vector, dict[str, Vector]]:
        """The gradients of theta and of the further arrays, from the gradient of the weights
        (nnz,)."""

    def after_step(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> None:
        """Adjust the parameters after a step, in place."""


@runtime_checkable
class Reparametrises(Protocol):
    """A topology method whose layers train other parameters than their weights."""

    @property
    def parametrisation(self) -> Parametrisation: ...


class ParametrisedLayer:
    """A layer that trains other parameters than its weights. It computes the weights from them and
    assigns these to a backend's layer, the inner one, which makes the passes.

    The optimizer state is kept here; that of the inner layer is never used.
    """

    takes_csr = False

    def __init__(
        self, theta: Vector, layer: Layer, parametrisation: Parametrisation, optimizer: Optimizer
    ) -> None:
        """theta  (nnz,) the initial parameters, one for each connection of `layer`"""
        self._inner, self._by, self._optimizer = layer, parametrisation, optimizer
        self._theta = theta.copy()
        self._pattern = layer.weights().pattern
        self._own = parametrisation.start(self._pattern)
        bias = layer.bias()
        self._state = {
            "theta": [np.zeros_like(self._theta) for _ in optimizer.slots],
            "bias": [np.zeros_like(bias) for _ in optimizer.slots],
        } | {
            name: [np.zeros_like(array) for _ in optimizer.slots]
            for name, array in self._own.items()
        }
        self._assign_weights(bias)

    @property
    def shape(self) -> tuple[int, int]:
        return self._inner.shape

    @property
    def nnz(self) -> int:
        return self._inner.nnz

    def parameters(self) -> CsrMatrix:
        """Theta as a matrix. It may share memory with the layer: read only."""
        return CsrMatrix(self._pattern, self._theta)

    # --- passes ----------------------------------------------------------------------

    def forward(self, X: Matrix, Z: Matrix) -> None:
        self._inner.forward(X, Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        self._inner.backward(X, DZ, DX)

    def gradients(self) -> tuple[Vector, Vector]:
        return self._inner.gradients()

    def step(self, rate: float, t: int) -> None:
        self.step_by(*self._inner.gradients(), rate, t)

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        update, bias = self._optimizer.update, self._inner.bias().copy()
        theta, own = self._by.gradients(self._theta, self._pattern, self._own, DW)
        update(self._theta, theta, self._state["theta"], rate, t, "weight")
        for name, gradient in own.items():
            update(self._own[name], gradient, self._state[name], rate, t, "bias")
        update(bias, Db, self._state["bias"], rate, t, "bias")
        self._by.after_step(self._theta, self._pattern, self._own)
        self._assign_weights(bias)

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        self.backward(X, DZ, DX)
        self.step(rate, t)

    def _assign_weights(self, bias: Vector) -> None:
        """Compute the weights from the parameters and assign them to the inner layer."""
        self._inner.assign(self._by.weights(self._theta, self._pattern, self._own), bias.copy())

    # --- parameters, weights and state ---------------------------------------------------

    def assign(self, data: Vector, bias: Vector) -> None:
        """Copy `data` into the trained parameters theta, (nnz,) in csr order, and set the bias."""
        self._theta[...] = data
        self._assign_weights(bias)

    def weights(self) -> CsrMatrix:
        return self._inner.weights()

    def bias(self) -> Vector:
        return self._inner.bias()

    def state(self) -> dict[str, Vector]:
        return dict(zip(self._optimizer.slots, self._state["theta"], strict=True))

    def scale_state(self, factor: float) -> None:
        for slot in self._state["theta"]:
            slot *= np.float32(factor)

    def apply_change(self, change: Change) -> None:
        applied = AppliedChange(self._pattern, change)
        self._theta = applied.carry(self._theta, change.values)
        self._state["theta"] = [applied.carry(slot) for slot in self._state["theta"]]
        self._pattern = applied.pattern
        bias = self._inner.bias().copy()
        self._inner.apply_change(change)
        self._assign_weights(bias)

    def stored_bytes(self) -> dict[str, int]:
        found = dict(self._inner.stored_bytes())
        own = [self._theta, *self._own.values()]
        found["parameters"] = sum(int(array.nbytes) for array in own)
        state = sum(int(slot.nbytes) for slots in self._state.values() for slot in slots)
        found["optimizer"] = found.get("optimizer", 0) + state
        return found

    def saved(self) -> Iterator[tuple[str, Array]]:
        yield "theta", self._theta
        for name, array in self._own.items():
            yield f"own.{name}", array
        for name, slots in self._state.items():
            for number, slot in enumerate(slots):
                yield f"parameter_state.{name}.{number}", slot
        for name, array in self._inner.saved():
            yield f"inner.{name}", array

    def restore(self, saved: Mapping[str, Any]) -> None:
        inner = "inner."
        self._inner.restore(
            {name.removeprefix(inner): saved[name] for name in saved if name.startswith(inner)}
        )
        self._theta = np.array(saved["theta"])
        for name in self._own:
            self._own[name] = np.array(saved[f"own.{name}"])
        for name, slots in self._state.items():
            for number in range(len(slots)):
                slots[number] = np.array(saved[f"parameter_state.{name}.{number}"])
        self._assign_weights(self._inner.bias().copy())
