"""Parameters of the activations. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sparsebench.core.sizes import FLOAT, UnitSize


class Piecewise:
    """Keeps a factor an output."""

    def kept(self, slots: int) -> UnitSize:
        return UnitSize(linear=True, per_output=FLOAT, temporary=FLOAT + 1)


@dataclass(frozen=True)
class PiecewiseParams(Piecewise):
    """None."""


@dataclass(frozen=True)
class SmoothParams:
    """None. Keeps the derivative of each output."""

    def kept(self, slots: int) -> UnitSize:
        return UnitSize(linear=False, per_output=FLOAT, temporary=3 * FLOAT)


@dataclass(frozen=True)
class AlphaParams(Piecewise):
    """alpha  size of the slope below zero"""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.01


@dataclass(frozen=True)
class AllReluParams(Piecewise):
    """alpha  size of the slope below zero; its sign alternates from layer to layer"""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.6


@dataclass(frozen=True)
class SReluParams:
    """Where each neuron's thresholds and slopes start; training moves them."""

    t_left: float = 0.0
    a_left: float = 0.2
    t_right: float = 1.0
    a_right: float = 1.0

    def kept(self, slots: int) -> UnitSize:
        """Four vectors, their gradients and state; each output's pre-activation."""
        vectors = 4 * FLOAT * (2 + slots)
        return UnitSize(linear=False, per_neuron=vectors, per_output=FLOAT, temporary=4 * FLOAT)
