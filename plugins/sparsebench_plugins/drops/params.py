"""Parameters of the drop criteria. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class NoParams:
    """None."""


@dataclass(frozen=True)
class SoftMagnitudeParams:
    """alpha  1 ranks by magnitude; 0 by magnitude relative to the other weights of both neurons
    start  sharpness delta at the start of training; 0 drops at random, towards 1 by rank alone
    end    sharpness at its end; in between it rises linearly
    """

    alpha: Annotated[float, Field(ge=0, le=1)] = 1.0
    start: Annotated[float, Field(ge=0, lt=1)] = 0.5
    end: Annotated[float, Field(ge=0, lt=1)] = 0.75
