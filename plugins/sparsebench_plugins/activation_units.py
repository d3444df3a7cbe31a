"""Activation units in numpy: each computes the activation and the dropout after one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.protocols import Optimizer


class Untrained:
    """A unit without trainable parameters."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Do nothing, because there are no parameters."""

    def parameters(self) -> dict[str, Vector]:
        return {}

    def gradients(self) -> dict[str, Vector]:
        return {}

    def saved(self) -> Iterator[tuple[str, Vector]]:
        return iter(())

    def restore(self, saved: Mapping[str, Vector]) -> None:
        """Do nothing, because there is no state."""


class SmoothUnit(Untrained):
    """A unit that overwrites Z by the activation f(Z), followed by dropout.

    It keeps the derivative, dropout included, for the backward pass.

    function  returns f(Z) and f'(Z)
    """

    def __init__(
        self, function: Callable[[Matrix], tuple[Matrix, Matrix]], dropout: Dropout | None
    ) -> None:
        self.function = function
        self.dropout = dropout
        self._derivative: Matrix = np.empty((0, 0), dtype=np.float32)

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        A, derivative = self.function(Z)
        if t is not None:
            if self.dropout is not None:
                factor = self.dropout.kept((Z.shape[0], Z.shape[1]), t) * self.dropout.scale
                A *= factor
                derivative *= factor
            self._derivative = derivative
        Z[...] = A
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        DA *= self._derivative
        return DA

    def stored_bytes(self) -> int:
        return int(self._derivative.nbytes)


def tanh(Z: Matrix) -> tuple[Matrix, Matrix]:
    A = np.tanh(Z)
    return A, 1 - A * A


def sigmoid(Z: Matrix) -> tuple[Matrix, Matrix]:
    small = np.exp(-np.abs(Z))
    A = np.where(Z >= 0, Z.dtype.type(1), small) / (1 + small)
    return A, A * (1 - A)


class PiecewiseLinearUnit(Untrained):
    """a = z for z >= 0 and slope z below, then dropout; in place.

    For the backward pass it keeps the factor by which each pre-activation was multiplied. The sign
    of the output would not be enough, because a negative slope makes outputs positive.
    """

    def __init__(self, slope: float, dropout: Dropout | None) -> None:
        self.slope = np.float32(slope)
        self.dropout = dropout
        self._factor: Matrix = np.empty((0, 0), dtype=np.float32)

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        factor = np.where(Z >= 0, Z.dtype.type(1), Z.dtype.type(self.slope))
        if t is not None:
            if self.dropout is not None:
                factor *= self.dropout.kept((Z.shape[0], Z.shape[1]), t)
                factor *= self.dropout.scale
            self._factor = factor
        Z *= factor
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        DA *= self._factor
        return DA

    def stored_bytes(self) -> int:
        return int(self._factor.nbytes)


class SReluUnit:
    """a = t_r + a_r (z - t_r) for z >= t_r; t_l + a_l (z - t_l) for z <= t_l; z in between; then
    dropout. t_r, a_r, t_l and a_l are trained vectors (K, 1), with an entry per neuron."""

    def __init__(self, start: Mapping[str, float], size: int, dropout: Dropout | None) -> None:
        self._p = {
            name: np.full((size, 1), value, dtype=np.float32) for name, value in start.items()
        }
        self._g = {name: np.zeros_like(value) for name, value in self._p.items()}
        self._state: dict[str, list[Vector]] = {}
        self.dropout = dropout
        self._Z: Matrix = np.empty((0, 0), dtype=np.float32)
        self._factor: Matrix | None = None

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        p = self._p
        A = np.where(p["t_left"] >= Z, p["t_left"] + p["a_left"] * (Z - p["t_left"]), Z)
        A = np.where(p["t_right"] <= Z, p["t_right"] + p["a_right"] * (Z - p["t_right"]), A)
        if t is not None:
            self._Z = Z.copy()
            self._factor = None
            if self.dropout is not None:
                kept = self.dropout.kept((Z.shape[0], Z.shape[1]), t)
                self._factor = kept * self.dropout.scale
                A *= self._factor
        Z[...] = A
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        """Turn DA into DZ, in place, and compute the gradients of the four vectors, summed over the
        batch."""
        Z, p, g = self._Z, self._p, self._g
        if self._factor is not None:
            DA *= self._factor
        right = p["t_right"] <= Z
        left = (p["t_left"] >= Z) & ~right
        of_left, of_right = np.where(left, DA, 0), np.where(right, DA, 0)
        g["t_left"][...] = ((1 - p["a_left"]) * of_left).sum(axis=1, keepdims=True)
        g["a_left"][...] = (of_left * (Z - p["t_left"])).sum(axis=1, keepdims=True)
        g["t_right"][...] = ((1 - p["a_right"]) * of_right).sum(axis=1, keepdims=True)
        g["a_right"][...] = (of_right * (Z - p["t_right"])).sum(axis=1, keepdims=True)
        DA *= np.where(right, p["a_right"], np.where(left, p["a_left"], DA.dtype.type(1)))
        return DA

    def slots(self, name: str, optimizer: Optimizer) -> list[Vector]:
        """The optimizer's state of a parameter."""
        value = self._p[name]
        return self._state.setdefault(name, [np.zeros_like(value) for _ in optimizer.slots])

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        for name, value in self._p.items():
            state = self.slots(name, optimizer)
            optimizer.update(value, self._g[name], state, rate, t, "bias")

    def parameters(self) -> dict[str, Vector]:
        return dict(self._p)

    def gradients(self) -> dict[str, Vector]:
        return dict(self._g)

    def saved(self) -> Iterator[tuple[str, Vector]]:
        yield from self._p.items()
        for name, state in self._state.items():
            for number, array in enumerate(state):
                yield f"state.{name}.{number}", array

    def restore(self, saved: Mapping[str, Vector]) -> None:
        for name, value in self._p.items():
            value[...] = saved[name]
            keys = sorted(key for key in saved if key.startswith(f"state.{name}."))
            if keys:
                self._state[name] = [np.array(saved[key]) for key in keys]

    def stored_bytes(self) -> int:
        states = [array for state in self._state.values() for array in state]
        arrays = [self._Z, *self._p.values(), *self._g.values(), *states]
        return sum(int(array.nbytes) for array in arrays)
