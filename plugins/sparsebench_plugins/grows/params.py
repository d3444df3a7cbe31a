"""Parameters of the growths. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True)
class NoParams:
    """None."""


@dataclass(frozen=True)
class GseParams:
    """gamma         candidates for each connection of the layer
    distribution  of the candidates: uniform; grabo, by the sums of |activation| and of |delta|;
                  graest, by their sums with random signs
    """

    gamma: Annotated[float, Field(gt=0)] = 1.0
    distribution: Literal["uniform", "grabo", "graest"] = "uniform"


@dataclass(frozen=True)
class MomentumParams:
    """gamma  candidates for each connection of the layer
    beta   of the smoothed gradient m = beta m + (1 - beta) g
    """

    gamma: Annotated[float, Field(gt=0)] = 1.0
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
