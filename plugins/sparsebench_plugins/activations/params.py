"""Parameters of the activations. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class NoParams:
    """None."""


@dataclass(frozen=True)
class AlphaParams:
    """alpha  size of the slope below zero"""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.01


@dataclass(frozen=True)
class AllReluParams:
    """alpha  size of the slope below zero; its sign alternates from layer to layer"""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.6


@dataclass(frozen=True)
class SReluParams:
    """Initial thresholds and slopes of each neuron; they are trained."""

    t_left: float = 0.0
    a_left: float = 0.2
    t_right: float = 1.0
    a_right: float = 1.0
