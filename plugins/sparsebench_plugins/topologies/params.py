"""Parameters of the topologies. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsebench.core.sizes import Shape
from sparsebench.core.sparse import allocation
from sparsebench.registry import OfKind

DEFAULT_EPSILON = 20.0

Epsilon = Annotated[float, Field(gt=0)]
Density = Annotated[float, Field(gt=0, le=1)]


class Unmoved:
    """Its connections stay where they are."""

    def moved(self, connections: Sequence[int]) -> list[int]:
        return [0] * len(connections)

    def updates(self, epoch: int, epochs: int, steps: int) -> int:
        return 0


@dataclass(frozen=True)
class DenseParams(Unmoved):
    """None."""

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        return [K * D for K, D in shapes]


@dataclass(frozen=True)
class AllocationParams(Unmoved):
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

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """By epsilon, 20 unless told otherwise, or by density."""
        if self.density is None:
            epsilon = self.epsilon if self.epsilon is not None else DEFAULT_EPSILON
            return allocation.erdos_renyi(shapes, epsilon)
        if self.allocation == "uniform":
            return allocation.uniform(shapes, self.density)
        return allocation.erdos_renyi_kernel(shapes, self.density)


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

    def moved(self, connections: Sequence[int]) -> list[int]:
        """Of each layer at most; the weakest of each sign are counted apart."""
        moved = [int(self.zeta * n) for n in connections]
        return [*moved[:-1], 0] if self.evolve == "all-but-last" else moved

    def updates(self, epoch: int, epochs: int, steps: int) -> int:
        """In an epoch of so many steps; none after the last step of all."""
        end = epoch * steps - (epoch == epochs)
        if self.update_until is not None:
            end = min(end, self.update_until)
        if self.update_every is None:
            return int(end >= epoch * steps)
        return max(0, end // self.update_every - (epoch - 1) * steps // self.update_every)
