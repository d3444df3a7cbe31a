"""Activations and their parameters; `activation_units` computes them. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

if TYPE_CHECKING:
    from sparsebench.core.nn.dropout import Dropout
    from sparsebench.core.protocols import Unit

Slope = Annotated[float, Interval(ge=0, le=1)]


class PiecewiseLinear:
    """z for z >= 0, and a slope times z below. The derivative at 0 is 1."""

    def negative_slope(self, layer: int) -> float:
        raise NotImplementedError

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit:
        from sparsebench_plugins.activation_units import PiecewiseLinearUnit

        return PiecewiseLinearUnit(self.negative_slope(layer), dropout)


@dataclass(frozen=True)
class ReLU(PiecewiseLinear):
    """max(z, 0)."""

    def negative_slope(self, layer: int) -> float:
        return 0.0


@dataclass(frozen=True)
class LeakyReLU(PiecewiseLinear):
    """z above zero, alpha z below.

    alpha  slope below zero
    """

    alpha: Slope = 0.01

    def negative_slope(self, layer: int) -> float:
        return self.alpha


@dataclass(frozen=True)
class AllReLU(PiecewiseLinear):
    """Alternated left ReLU: slope -alpha below zero on odd hidden layers, +alpha on even ones.

    alpha  magnitude of the slope below zero

    Curci et al. (2021), arXiv 2102.01732. Hidden layers count from 1; the output layer has no
    activation.
    """

    alpha: Slope = 0.6

    def negative_slope(self, layer: int) -> float:
        return -self.alpha if layer % 2 == 1 else self.alpha


@dataclass(frozen=True)
class Identity(PiecewiseLinear):
    """f(z) = z."""

    def negative_slope(self, layer: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Tanh:
    """tanh(z)."""

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit:
        from sparsebench_plugins.activation_units import SmoothUnit, tanh

        return SmoothUnit(tanh, dropout)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-z))."""

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit:
        from sparsebench_plugins.activation_units import SmoothUnit, sigmoid

        return SmoothUnit(sigmoid, dropout)


@dataclass(frozen=True)
class SReLU:
    """S-shaped ReLU with trained thresholds and slopes; the parameters are their initial values.

    t_left   threshold below which the slope is a_left
    a_left   slope below t_left
    t_right  threshold above which the slope is a_right
    a_right  slope above t_right

    Jin et al. (2015), arXiv 1512.07030. Deviation: every neuron starts as a leaky ReLU, and its
    thresholds and slopes are trained from the first step.
    """

    t_left: float = 0.0
    a_left: float = 0.2
    t_right: float = 1.0
    a_right: float = 1.0

    def negative_slope(self, layer: int) -> None:
        return None

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit:
        from sparsebench_plugins.activation_units import SReluUnit

        return SReluUnit(vars(self), size, dropout)
