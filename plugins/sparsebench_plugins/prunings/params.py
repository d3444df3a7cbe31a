"""Parameters of the prunings. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class ImportanceParams:
    """start       first epoch, counted from 1, at whose end neurons are removed
    every       epochs between removals
    percentile  of the importances, 0..100; neurons at or below it go
    count_dead  the percentile counts neurons already removed too, as released
    outgoing    a removed neuron loses its outgoing connections too; as released: false
    regrow      growth may connect a removed neuron again, as released
    """

    start: Annotated[int, Field(gt=0)] = 200
    every: Annotated[int, Field(gt=0)] = 20
    percentile: Annotated[float, Field(ge=0, lt=100)] = 10.0
    count_dead: bool = False
    outgoing: bool = True
    regrow: bool = False
