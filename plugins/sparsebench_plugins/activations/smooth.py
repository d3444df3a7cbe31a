"""Activations with a derivative everywhere, and SReLU with its trainable parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.protocols import Optimizer
from sparsebench_plugins.activations.params import NoParams, SReluParams
from sparsebench_plugins.activations.untrained import Untrained


class SmoothUnit(Untrained):
    """a = f(z), then dropout. Keeps the derivative, dropout included."""

    def __init__(
        self,
        function: Callable[[Matrix], tuple[Matrix, Matrix]],
        dropout: Dropout | None,
    ) -> None:
        self._function = function
        self._dropout = dropout
        self._derivative: Matrix = np.empty((0, 0), dtype=np.float32)

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        A, derivative = self._function(Z)
        if t is not None:
            if self._dropout is not None:
                factor = self._dropout.kept((Z.shape[0], Z.shape[1]), t) * self._dropout.scale
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


def _tanh(Z: Matrix) -> tuple[Matrix, Matrix]:
    A = np.tanh(Z)
    return A, 1 - A * A


def _sigmoid(Z: Matrix) -> tuple[Matrix, Matrix]:
    small = np.exp(-np.abs(Z))
    A = np.where(Z >= 0, Z.dtype.type(1), small) / (1 + small)
    return A, A * (1 - A)


class Tanh(NoParams):
    """tanh(z)."""

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> SmoothUnit:
        return SmoothUnit(_tanh, dropout)


class Sigmoid(NoParams):
    """1 / (1 + exp(-z))."""

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> SmoothUnit:
        return SmoothUnit(_sigmoid, dropout)


class SReluUnit:
    """a = t_r + a_r (z - t_r) for z >= t_r; z between; t_l + a_l (z - t_l) for z <= t_l.

    Four trained vectors (K, 1), one entry per neuron; then dropout.
    """

    NAMES = ("t_left", "a_left", "t_right", "a_right")

    def __init__(self, start: SReluParams, size: int, dropout: Dropout | None) -> None:
        self._p = {
            name: np.full((size, 1), getattr(start, name), dtype=np.float32) for name in self.NAMES
        }
        self._g = {name: np.zeros_like(value) for name, value in self._p.items()}
        self._state: dict[str, list[Vector]] = {}
        self._dropout = dropout
        self._Z: Matrix = np.empty((0, 0), dtype=np.float32)
        self._factor: Matrix | None = None

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        p = self._p
        A = np.where(p["t_left"] >= Z, p["t_left"] + p["a_left"] * (Z - p["t_left"]), Z)
        A = np.where(p["t_right"] <= Z, p["t_right"] + p["a_right"] * (Z - p["t_right"]), A)
        if t is not None:
            self._Z = Z.copy()
            self._factor = None
            if self._dropout is not None:
                kept = self._dropout.kept((Z.shape[0], Z.shape[1]), t)
                self._factor = kept * self._dropout.scale
                A *= self._factor
        Z[...] = A
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        """DZ, and the gradients of the four vectors: sums over the batch."""
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

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        for name, value in self._p.items():
            state = self._state.setdefault(name, [np.zeros_like(value) for _ in optimizer.slots])
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
        arrays = [self._Z, *self._p.values(), *self._g.values()]
        for state in self._state.values():
            arrays.extend(state)
        return sum(int(array.nbytes) for array in arrays)


class SReLU(SReluParams):
    """S-shaped ReLU with trained thresholds and slopes. Jin et al. (2015), arXiv 1512.07030.

    Deviation: starts as a leaky ReLU in every neuron and is trained from the first step.
    """

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> SReluUnit:
        return SReluUnit(self, size, dropout)
