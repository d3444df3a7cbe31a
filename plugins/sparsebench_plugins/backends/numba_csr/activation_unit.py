"""Activation and dropout of one layer, which kernels apply while they write their output."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Matrix
from sparsebench.core.nn.dropout import Dropout
from sparsebench_plugins.activation_units import Untrained
from sparsebench_plugins.backends.numba_csr import arguments
from sparsebench_plugins.backends.numba_csr.arguments import UnitNumbers


class NumbaUnit(Untrained):
    """A piecewise linear activation and dropout. For backward it stores one bit per activation, the
    sign of its pre-activation, and with dropout a second bit: whether the activation was kept.

    bits     (K, row_bytes) flat
    numbers  arguments of the last training pass
    layout   layout of the activations in the last pass
    """

    def __init__(self, slope: float, dropout: Dropout | None, kernels: Any) -> None:
        self._slope = np.float32(slope)
        self._dropout = dropout
        self._kernels = kernels
        self.bits: npt.NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self.numbers = arguments.NO_UNIT
        self.layout = arguments.plain(0)

    def at_step(self, t: int | None, K: int, N: int) -> UnitNumbers:
        """The arguments for kernels at training step t (None: evaluation), for K neurons and N
        samples. For training, makes room for the bits."""
        self.layout = arguments.plain(N)
        if t is None:
            return UnitNumbers(
                arguments.EVALUATE, np.float32(1), self._slope, np.uint32(0), np.uint32(0), 0
            )
        row_bytes = self.row_bytes(N)
        self.room(K * row_bytes)
        drop = self._dropout
        scale = drop.scale if drop is not None else np.float32(1)
        self.numbers = UnitNumbers(
            arguments.TRAIN,
            scale,
            np.float32(scale * self._slope),
            drop.step_key(t) if drop is not None else np.uint32(0),
            drop.threshold if drop is not None else np.uint32(0),
            row_bytes,
        )
        return self.numbers

    def constants(self, training: bool) -> dict[str, Any]:
        """The arguments that do not change from step to step, by the names of the fields in
        `compiled_step.records`."""
        if not training:
            return {"mode": arguments.EVALUATE, "above": 1, "below": self._slope}
        drop = self._dropout
        scale = drop.scale if drop is not None else np.float32(1)
        found = {"mode": arguments.TRAIN, "above": scale, "below": scale * self._slope}
        if drop is not None:
            found |= {"key": drop.key, "threshold": drop.threshold}
        return found

    def row_bytes(self, N: int) -> int:
        """The bytes per neuron that a training pass of N samples stores for backward."""
        return arguments.bit_bytes(N) * (1 if self._dropout is None else 2)

    def room(self, size: int) -> npt.NDArray[np.uint8]:
        """Memory for the bits, at least `size` bytes."""
        if self.bits.size < size:
            self.bits = np.zeros(size, dtype=np.uint8)
        return self.bits

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        K, N = Z.shape
        self._kernels.activate(Z.reshape(-1), K, N, self.at_step(t, K, N), self.bits)
        return Z

    def backward(self, DA: Matrix) -> Matrix:
        K, N = DA.shape
        self._kernels.deactivate(DA.reshape(-1), K, N, self.numbers, self.bits)
        return DA

    def stored_bytes(self) -> int:
        return int(self.bits.nbytes)
