"""The multilayer perceptron over a backend's layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sparsebench.protocols import Backend, Initializer, Layer, Loss, Optimizer, Shape, Unit
from sparsebench.training.dropout import Dropout
from sparsebench_plugins.models.params import MlpParams

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class MLP(MlpParams):
    """Hidden layers with an activation and dropout, then an output per class."""

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.init
        return initializer

    def shapes(self, features: int, classes: int) -> list[Shape]:
        sizes = [features, *self.hidden, classes]
        return [(K, D) for D, K in pairwise(sizes)]

    def network(
        self, layers: Sequence[Layer], backend: Backend, optimizer: Optimizer, seed: int
    ) -> MlpNetwork:
        units = [
            self._unit(backend, number, layer.shape[0], seed)
            for number, layer in enumerate(layers[:-1], start=1)
        ]
        return MlpNetwork(layers, units, self.loss, optimizer)

    def _unit(self, backend: Backend, number: int, size: int, seed: int) -> Unit:
        """The backend's fused unit where it has one for this activation."""
        dropout = Dropout.of_layer(self.dropout, seed, number)
        slope = self.activation.negative_slope(number)
        fused = getattr(backend, "unit", None)
        if slope is not None and fused is not None:
            unit: Unit = fused(slope, dropout)
        else:
            unit = self.activation.unit(number, size, dropout)
        return unit


class MlpNetwork:
    """A_0 = X;  Z_l = W_l A_{l-1} + b_l;  A_l = dropout(f(Z_l)), kept for backward.

    A_l overwrites Z_l, so activations are stored once; two scratch arrays hold the gradient
    that travels back.
    """

    def __init__(
        self, layers: Sequence[Layer], units: Sequence[Unit], loss: Loss, optimizer: Optimizer
    ) -> None:
        self.layers = layers
        self.units = units
        self._loss = loss
        self._optimizer = optimizer
        self._activations = [_Buffer(layer.shape[0]) for layer in layers]
        widest = max((layer.shape[0] for layer in layers[:-1]), default=0)
        self._scratch = (_Buffer(widest), _Buffer(widest))

    def train_step(self, X: Matrix, y: Labels, rate: float, t: int) -> float:
        return self._pass(X, y, t, rate)

    def compute_gradients(self, X: Matrix, y: Labels, t: int) -> float:
        return self._pass(X, y, t, None)

    def step(self, rate: float, t: int) -> None:
        for layer in self.layers:
            layer.step(rate, t)
        for unit in self.units:
            unit.step(self._optimizer, rate, t)

    def outputs(self, X: Matrix) -> Matrix:
        return self._forward(X, None)[-1]

    def loss(self, Z: Matrix, y: Labels) -> float:
        return self._loss.value(Z, y)

    def stored_bytes(self) -> dict[str, int]:
        """By purpose, over all layers."""
        total: dict[str, int] = {}
        for layer in self.layers:
            for purpose, size in layer.stored_bytes().items():
                total[purpose] = total.get(purpose, 0) + size
        buffers = (*self._activations, *self._scratch)
        total["activations"] = sum(buffer.nbytes for buffer in buffers) + sum(
            unit.stored_bytes() for unit in self.units
        )
        return total

    def _forward(self, X: Matrix, t: int | None) -> list[Matrix]:
        """[X, A_1, ..., Z_L]; dropout only in a training step t."""
        A = [X]
        for number, layer in enumerate(self.layers):
            Z = self._activations[number].view(layer.shape[0], X.shape[1])
            layer.forward(A[-1], Z)
            A.append(self.units[number].forward(Z, t) if number < len(self.units) else Z)
        return A

    def _pass(self, X: Matrix, y: Labels, t: int, rate: float | None) -> float:
        """Forward and backward; with a rate each layer is updated on the way."""
        A = self._forward(X, t)
        value, DZ = self._loss.value_and_gradient(A[-1], y)
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            DX = None
            if number > 0:
                DX = self._scratch[number % 2].view(layer.shape[1], X.shape[1])
            if rate is None:
                layer.backward(A[number], DZ, DX)
            else:
                layer.backward_and_step(A[number], DZ, DX, rate, t)
            if DX is not None:
                unit = self.units[number - 1]
                DZ = unit.backward(DX)
                if rate is not None:
                    unit.step(self._optimizer, rate, t)
        return value


class _Buffer:
    """Memory for a (rows, N) array whose N varies, taken once at its largest."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._flat: Matrix = np.empty(0, dtype=np.float32)

    def view(self, rows: int, N: int) -> Matrix:
        """(rows, N), contiguous; holds what the last user left."""
        if self._flat.size < self._rows * N:
            self._flat = np.empty(self._rows * N, dtype=np.float32)
        return self._flat[: rows * N].reshape(rows, N)

    @property
    def nbytes(self) -> int:
        return int(self._flat.nbytes)
