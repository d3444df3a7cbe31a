"""Activations that are linear on both sides of zero."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Matrix
from sparsebench.core.nn.dropout import Dropout
from sparsebench_plugins.activations.params import AllReluParams, AlphaParams, NoParams
from sparsebench_plugins.activations.untrained import Untrained


class PiecewiseLinearUnit(Untrained):
    """a = z for z >= 0 and slope z below, then dropout; in place.

    What backward needs is one small number per activation: the sign of the pre-activation
    (outputs would not do: a negative slope makes them positive), and whether it was dropped.
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


class _PiecewiseLinear:
    def negative_slope(self, layer: int) -> float | None:
        raise NotImplementedError

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> PiecewiseLinearUnit:
        slope = self.negative_slope(layer)
        assert slope is not None
        return PiecewiseLinearUnit(slope, dropout)


class ReLU(NoParams, _PiecewiseLinear):
    """max(z, 0). The derivative at 0 is 1."""

    def negative_slope(self, layer: int) -> float:
        return 0.0


class LeakyReLU(AlphaParams, _PiecewiseLinear):
    """z above zero, alpha z below."""

    def negative_slope(self, layer: int) -> float:
        return self.alpha


class AllReLU(AllReluParams, _PiecewiseLinear):
    """Alternated left ReLU: slope -alpha on odd hidden layers, +alpha on even ones.

    Curci et al. (2021), arXiv 2102.01732; hidden layers are counted from one, the output has
    none. The derivative at 0 is 1.
    """

    def negative_slope(self, layer: int) -> float:
        return -self.alpha if layer % 2 == 1 else self.alpha


class Identity(NoParams, _PiecewiseLinear):
    """z."""

    def negative_slope(self, layer: int) -> float:
        return 1.0
