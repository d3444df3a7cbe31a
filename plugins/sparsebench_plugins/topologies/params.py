"""Parameters of the topologies. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.sizes import Shape
from sparsebench.registry import Later, OfKind
from sparsebench_plugins.allocations.parts import ErdosRenyi, ErdosRenyiKernel

Epsilon = Annotated[float, Field(gt=0)]
Density = Annotated[float, Field(gt=0, le=1)]
Zeta = Annotated[float, Field(ge=0, lt=1)]
Steps = Annotated[int, Field(gt=0)]
Until = Steps | Annotated[float, Field(gt=0, le=1)]
Layers = Literal["all", "all-but-last"] | tuple[Annotated[int, Field(ge=0)], ...]


class Unmoved:
    """Connections stay where they are."""

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
    allocation  er: by epsilon; erk: in proportion to (K + D) / (K D); uniform; explicit
    """

    epsilon: Epsilon | None = None
    density: Density | None = None
    allocation: Annotated[Any, OfKind("allocation")] = None

    def __post_init__(self) -> None:
        if self.epsilon is not None and self.density is not None:
            raise ValueError("takes epsilon or density, not both")
        name = self.allocation.get("name") if isinstance(self.allocation, Mapping) else None
        if name == "er" and self.density is not None:
            raise ValueError("allocation 'er' takes epsilon; with density use 'erk' or 'uniform'")
        if name in ("erk", "uniform") and self.density is None:
            raise ValueError(f"allocation {name!r} needs a density")

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """Connections of each layer, by epsilon (20 by default) or by density."""
        allocation = self.allocation
        if allocation is None:
            allocation = ErdosRenyi() if self.density is None else ErdosRenyiKernel()
        counts: list[int] = allocation.counts(shapes, density=self.density, epsilon=self.epsilon)
        return counts


@dataclass(frozen=True)
class MethodParams(AllocationParams):
    """zeta          share of a layer's connections dropped per update
    evolve        which layers: all, or all but the output layer; `layers` in short
    grown         how grown connections start; None: as the model's init
    update_every  steps between updates; None: at the end of each epoch but the last
    update_until  last step with an update, or a share of all steps; None: no end
    drop          which connections are weakest
    grow          where new ones go
    update        when, and how the fraction changes; its own parameters win over the ones above
    redistribution    how dropped connections are shared between the layers
    density_schedule  how many connections there are over time; density or epsilon is the end
    layers        all, all-but-last, or the numbers of those that take part, from 0
    keeps_regrown     a dropped connection that grows again keeps its weight
    replaces_step     at an update the mini-batch is looked at and not trained on
    """

    zeta: Zeta = 0.3
    evolve: Literal["all", "all-but-last"] = "all"
    grown: Annotated[Any, OfKind("initializer")] = None
    update_every: Steps | None = None
    update_until: Until | None = None
    drop: Annotated[Any, OfKind("drop"), Later()] = "magnitude"
    grow: Annotated[Any, OfKind("grow"), Later()] = "random"
    update: Annotated[Any, OfKind("update"), Later()] = "constant"
    redistribution: Annotated[Any, OfKind("redistribution"), Later()] = "none"
    density_schedule: Annotated[Any, OfKind("density_schedule"), Later()] = "constant"
    layers: Annotated[Layers, Later()] = "all"
    keeps_regrown: Annotated[bool, Later()] = False
    replaces_step: Annotated[bool, Later()] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evolve != "all" and self.layers != "all":
            raise ValueError("takes evolve or layers, not both")

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """At the start, which the density schedule may set apart from the end."""
        start: float | None = self.density_schedule.start
        if start is None:
            return self.final_connections(shapes)
        allocation = self.allocation if self.allocation is not None else ErdosRenyiKernel()
        counts: list[int] = allocation.counts(shapes, density=start, epsilon=None)
        return counts

    def final_connections(self, shapes: Sequence[Shape]) -> list[int]:
        """Connections of each layer at the end, by epsilon or density."""
        return super().connections(shapes)

    def takes_part(self, count: int) -> list[int]:
        """Indices of the layers that are updated, of `count`. Raises ValueError for others."""
        layers = self.layers if self.evolve == "all" else self.evolve
        if not isinstance(layers, str):
            outside = [index for index in layers if index >= count]
            if outside:
                raise ValueError(
                    f"topology.layers: {outside[0]} is no layer; known: 0 to {count - 1}"
                )
            return sorted(set(layers))
        return list(range(count if layers == "all" else count - 1))

    def schedule(self) -> Any:
        """The update schedule, where it says nothing itself with the method's own numbers."""
        own = {"zeta": self.zeta, "every": self.update_every, "until": self.update_until}
        known = {field.name for field in fields(self.update)}
        missing = {
            name: value
            for name, value in own.items()
            if name in known and getattr(self.update, name) is None
        }
        return replace(self.update, **missing)

    def due(self, step: TrainingStep) -> bool:
        due: bool = self.schedule().due(step)
        return due

    def updates(self, epoch: int, epochs: int, steps: int) -> int:
        """In an epoch of so many steps; none after the last step of all."""
        count: int = self.schedule().count(
            (epoch - 1) * steps + 1, epoch * steps, epochs * steps, steps
        )
        return count


@dataclass(frozen=True)
class SetParams(MethodParams):
    __doc__ = MethodParams.__doc__

    drop: Annotated[Any, OfKind("drop"), Later()] = "per-sign"


@dataclass(frozen=True)
class RigLParams(MethodParams):
    __doc__ = MethodParams.__doc__

    grown: Annotated[Any, OfKind("initializer")] = "zeros"
    update_every: Steps | None = 100
    update_until: Until | None = 0.75
    grow: Annotated[Any, OfKind("grow"), Later()] = "gradient"
    update: Annotated[Any, OfKind("update"), Later()] = "cosine"
    keeps_regrown: Annotated[bool, Later()] = True
    replaces_step: Annotated[bool, Later()] = True


@dataclass(frozen=True)
class GseParams(MethodParams):
    __doc__ = MethodParams.__doc__

    zeta: Zeta = 0.2
    grown: Annotated[Any, OfKind("initializer")] = "zeros"
    update_every: Steps | None = 1000
    update_until: Until | None = 0.6
    grow: Annotated[Any, OfKind("grow"), Later()] = "gse"
    update: Annotated[Any, OfKind("update"), Later()] = "cosine"
    redistribution: Annotated[Any, OfKind("redistribution"), Later()] = "global"


@dataclass(frozen=True)
class SnfsParams(MethodParams):
    __doc__ = MethodParams.__doc__

    zeta: Zeta = 0.5
    grown: Annotated[Any, OfKind("initializer")] = "zeros"
    grow: Annotated[Any, OfKind("grow"), Later()] = "momentum"
    update: Annotated[Any, OfKind("update"), Later()] = "cosine"
    redistribution: Annotated[Any, OfKind("redistribution"), Later()] = "momentum"


@dataclass(frozen=True)
class GraNetParams(MethodParams):
    __doc__ = MethodParams.__doc__

    zeta: Zeta = 0.5
    grown: Annotated[Any, OfKind("initializer")] = "zeros"
    update_every: Steps | None = 1000
    update_until: Until | None = 0.6875
    grow: Annotated[Any, OfKind("grow"), Later()] = "gradient"
    update: Annotated[Any, OfKind("update"), Later()] = "cosine"
    density_schedule: Annotated[Any, OfKind("density_schedule"), Later()] = "cubic"
    keeps_regrown: Annotated[bool, Later()] = True
