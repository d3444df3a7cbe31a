"""Parameters of the initializers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True)
class FanParams:
    """fan  dense: D in and K out, as the papers do, whatever the density;
    sparse: the connections a neuron has on average, nnz / K in and nnz / D out
    """

    fan: Literal["dense", "sparse"] = "dense"


@dataclass(frozen=True)
class NormalParams:
    deviation: Annotated[float, Field(gt=0)] = 0.1


@dataclass(frozen=True)
class NoParams:
    """None."""
