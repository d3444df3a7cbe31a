"""Parameters of the topologies. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsebench.registry import OfKind

Epsilon = Annotated[float, Field(gt=0)]
Density = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class NoParams:
    """None."""


@dataclass(frozen=True)
class AllocationParams:
    """epsilon     connections per neuron of both sides: ER with epsilon (K + D) per layer
    density     of the whole network, shared out by `allocation`; instead of epsilon
    allocation  er: by epsilon; erk: in proportion to (K + D) / (K D); uniform
    """

    epsilon: Epsilon | None = None
    density: Density | None = None
    allocation: Literal["er", "erk", "uniform"] | None = None

    def __post_init__(self) -> None:
        if self.epsilon is not None and self.density is not None:
            raise ValueError("takes epsilon or density, not both")
        if self.allocation == "er" and self.density is not None:
            raise ValueError("allocation 'er' takes epsilon; with density use 'erk' or 'uniform'")
        if self.allocation in ("erk", "uniform") and self.density is None:
            raise ValueError(f"allocation {self.allocation!r} needs a density")


@dataclass(frozen=True)
class SetParams(AllocationParams):
    """zeta          share of the connections of each sign dropped per update
    evolve        which layers: all, or all but the output layer
    grown         how grown connections start; None: as the model's init
    update_every  steps between updates; None: at the end of each epoch but the last
    update_until  last step with an update; None: no end
    """

    zeta: Annotated[float, Field(ge=0, lt=1)] = 0.3
    evolve: Literal["all", "all-but-last"] = "all"
    grown: Annotated[Any, OfKind("initializer")] = None
    update_every: Annotated[int, Field(gt=0)] | None = None
    update_until: Annotated[int, Field(gt=0)] | None = None
