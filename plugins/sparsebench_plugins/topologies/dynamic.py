"""Dense and static topologies, and `Dynamic`, the base class of methods that are made of parts. A
named method is a subclass of `Dynamic` with its paper's defaults; each family of methods has its
own file.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from sparsebench.core.methods.initial import ChoosesPositions, InitialNetwork
from sparsebench.core.methods.protocols import (
    AdaptiveDensity,
    EveryStep,
    LayerUpdate,
    Needs,
    RefusesCompaction,
)
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.sizes import Shape
from sparsebench.errors import Unsupported
from sparsebench.registry import OfKind, OmittedIfDefault
from sparsebench_plugins.allocations import ErdosRenyi, ErdosRenyiKernel
from sparsebench_plugins.update_schedules import Regular

if TYPE_CHECKING:
    from sparsebench.core.arrays import Matrix
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.methods.view import LayerView, NetworkView
    from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern

Zeta = Annotated[float, Interval(ge=0, lt=1)]
Steps = Annotated[int, Interval(gt=0)]
Until = Steps | Annotated[float, Interval(gt=0, le=1)]
Layers = Literal["all", "all-but-last"] | tuple[Annotated[int, Interval(ge=0)], ...]

Initializer = Annotated[Any, OfKind("initializer")]
Drop = Annotated[Any, OfKind("drop"), OmittedIfDefault()]
Grow = Annotated[Any, OfKind("grow"), OmittedIfDefault()]
Update = Annotated[Any, OfKind("update"), OmittedIfDefault()]
Redistribution = Annotated[Any, OfKind("redistribution"), OmittedIfDefault()]
DensitySchedule = Annotated[Any, OfKind("density_schedule"), OmittedIfDefault()]
LaterBool = Annotated[bool, OmittedIfDefault()]
Settles = Annotated[Annotated[float, Interval(gt=0, le=1)] | None, OmittedIfDefault()]


class Fixed:
    """A topology whose connections never change."""

    needs: ClassVar[Needs] = Needs()
    replaces_step: ClassVar[bool] = False

    def due(self, step: TrainingStep) -> bool:
        return False

    def layer_updates(self, network: NetworkView) -> Sequence[LayerUpdate]:
        return ()

    def updates(self, epoch: int, epochs: int, steps: int) -> int:
        return 0


@dataclass(frozen=True)
class Dense(Fixed):
    """Every position is a connection."""

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        return [K * D for K, D in shapes]


@dataclass(frozen=True)
class Allocated:
    """epsilon     constant of the Erdős-Rényi allocation: epsilon (K + D) connections in each layer
    density     density of the whole network, instead of epsilon; `allocation` divides it among the
                layers
    allocation  decides the densities of the layers; none: er with epsilon (20 if neither is given),
                erk with density
    dense_last  the output layer is dense and stays dense; epsilon or density applies to the other
                layers
    """

    epsilon: Annotated[float, Interval(gt=0)] | None = None
    density: Annotated[float, Interval(gt=0, le=1)] | None = None
    allocation: Annotated[Any, OfKind("allocation")] = None
    dense_last: LaterBool = False

    def __post_init__(self) -> None:
        if self.epsilon is not None and self.density is not None:
            raise ValueError("takes epsilon or density, not both")
        name = self.allocation.get("name") if isinstance(self.allocation, Mapping) else None
        if name == "er" and self.density is not None:
            raise ValueError("allocation 'er' takes epsilon; with density use 'erk' or 'uniform'")
        if name in ("erk", "uniform") and self.density is None:
            raise ValueError(f"allocation {name!r} needs a density")

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """The number of connections of each layer, by epsilon (20 by default) or by density."""
        return self.allocated(shapes, self.density, self.epsilon)

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix] | None:
        """The patterns at the start if the allocation chooses them; None: they are random."""
        if not isinstance(self.allocation, ChoosesPositions):
            return None
        if not self.dense_last:
            return self.allocation.patterns(network)
        sparse = replace(network, shapes=network.shapes[:-1], counts=network.counts[:-1])
        return self._with_dense_last(sparse, network.shapes[-1])

    def _with_dense_last(
        self, sparse: InitialNetwork, last: Shape
    ) -> Iterator[CsrPattern | CsrMatrix]:
        from sparsebench.core.sparse.csr import CsrPattern

        yield from self.allocation.patterns(sparse)
        yield CsrPattern.full(last)

    def allocated(
        self, shapes: Sequence[Shape], density: float | None, epsilon: float | None
    ) -> list[int]:
        """The number of connections of each layer for this density or epsilon."""
        allocation = self.allocation
        if allocation is None:
            allocation = ErdosRenyi() if density is None else ErdosRenyiKernel()
        sparse = shapes[:-1] if self.dense_last else shapes
        counts: list[int] = allocation.counts(sparse, density=density, epsilon=epsilon)
        return counts + [K * D for K, D in shapes[len(sparse) :]]


@dataclass(frozen=True)
class Static(Allocated, Fixed):
    """A random topology, drawn once: epsilon 20 by default."""


@dataclass(frozen=True)
class Dynamic(Allocated):
    """A method made of the parts that the suite names.

    zeta              fraction of a layer's connections that an update drops
    evolve            layers that are updated; older form of `layers`
    grown             values of grown connections; none: as the model's init
    update_every      steps between updates; none: at the end of each epoch but the last
    update_until      last step with an update, or a share of all steps; none: no end
    drop              criterion by which connections are dropped
    grow              criterion by which connections grow
    update            schedule of the updates and of the fraction; its own parameters win over zeta,
                      update_every and update_until
    redistribution    how many of the dropped connections each layer grows
    density_schedule  density over time; density or epsilon is its end
    layers            layers that are updated: all, all-but-last, or their numbers from 0
    keeps_regrown     a connection that is dropped and grown in one update keeps its weight
    state_kept        factor of the optimizer's state of surviving connections at each update: 1
                      keeps it, 0 resets it, values in between decay it
    percolates        hidden neurons without inputs or without outputs lose all their connections
    settles           a layer is no longer updated once this share of its dropped connections grows
                      again in the same update
    replaces_step     a step with an update does not train on its mini-batch
    """

    zeta: Zeta = 0.3
    evolve: Literal["all", "all-but-last"] = "all"
    grown: Initializer = None
    update_every: Steps | None = None
    update_until: Until | None = None
    drop: Drop = "magnitude"
    grow: Grow = "random"
    update: Update = "constant"
    redistribution: Redistribution = "none"
    density_schedule: DensitySchedule = "constant"
    layers: Annotated[Layers, OmittedIfDefault()] = "all"
    keeps_regrown: LaterBool = False
    replaces_step: LaterBool = False
    state_kept: Annotated[float, Interval(ge=0, le=1), OmittedIfDefault()] = 1.0
    percolates: LaterBool = False
    settles: Settles = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evolve != "all" and self.layers != "all":
            raise ValueError("takes evolve or layers, not both")

    # --- what is known before a trial runs -------------------------------------------

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        """The number of connections of each layer at the start. With a density schedule it may
        differ from that at the end."""
        start: float | None = self.density_schedule.start
        if start is None:
            return self.final_connections(shapes)
        return self.allocated(shapes, start, None)

    def final_connections(self, shapes: Sequence[Shape]) -> list[int]:
        """The number of connections of each layer at the end, by epsilon or density."""
        return super().connections(shapes)

    def schedule(self) -> Any:
        """The update schedule; its missing parameters are those of the method."""
        own = {"zeta": self.zeta, "every": self.update_every, "until": self.update_until}
        known = {field.name for field in fields(self.update)}
        missing = {name for name in own.keys() & known if getattr(self.update, name) is None}
        return replace(self.update, **{name: own[name] for name in missing})

    def due(self, step: TrainingStep) -> bool:
        due: bool = self.schedule().due(step)
        return due

    def updates(self, epoch: int, epochs: int, steps: int) -> int:
        """The number of updates in an epoch with this number of steps. There is no update after the
        last step of the training."""
        count: int = self.schedule().count(
            (epoch - 1) * steps + 1, epoch * steps, epochs * steps, steps
        )
        return count

    # --- the update ------------------------------------------------------------------

    def why_not_compact(self) -> str | None:
        density = self.density_schedule
        return density.why_not_compact() if isinstance(density, RefusesCompaction) else None

    @property
    def needs(self) -> Needs:
        """The signals that the method needs. Raises Unsupported if its parts do not fit
        together."""
        if self.redistribution.shares == "ranked" and not self.grow.ranks:
            raise Unsupported(
                f"{type(self.redistribution).__name__} lets layers compete by score, and "
                f"{type(self.grow).__name__} gives none; set redistribution = 'none'"
            )
        schedule = self.schedule()
        if self.replaces_step and isinstance(schedule, Regular) and schedule.every == 1:
            raise Unsupported("an update in every step, in its place, would leave none to train")
        parts = [self.drop, self.grow, self.redistribution]
        if isinstance(self.density_schedule, AdaptiveDensity):
            parts.append(self.density_schedule)
        return Needs(
            signals=frozenset(signal for part in parts for signal in part.signals),
            every_step=isinstance(self.grow, EveryStep),
            scans=self.grow.scans,
        )

    def layer_updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        from sparsebench.core.methods.compose import UpdateParts

        schedule, density, step = self.schedule(), self.density_schedule, network.step
        fraction = schedule.fraction(step)
        targets = None
        ends = self.final_connections(network.first_shapes or network.shapes)
        if isinstance(density, AdaptiveDensity):
            targets = density.targets(network, ends, fraction)
        elif density.start is not None:
            share = density.share(step, schedule.last(step.steps, step.steps_per_epoch))
            targets = [
                end + round((start - end) * share)
                for start, end in zip(network.started, ends, strict=True)
            ]
        if targets is not None and network.first_shapes is not None:
            targets = [min(one, K * D) for one, (K, D) in zip(targets, network.shapes, strict=True)]
        return UpdateParts(
            drop=self.drop,
            grow=self.grow,
            redistribution=self.redistribution,
            fraction=fraction,
            takes_part=self.takes_part(network.count),
            targets=targets,
            globally=density.globally,
            initial=self.grown,
            keeps_regrown=self.keeps_regrown,
            state_kept=self.state_kept,
            percolates=self.percolates,
            settles=self.settles,
        ).updates(network)

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        """Show the grow criterion a training step of a layer, if the layer is updated at all."""
        if layer.index in self.takes_part(layer.count):
            self.grow.after_backward(layer, X, DZ)

    def takes_part(self, count: int) -> list[int]:
        """The indices of the layers that are updated, out of `count`. Raises ValueError if the
        method names a layer that does not exist."""
        layers = self.layers if self.evolve == "all" else self.evolve
        if self.dense_last and layers == "all":
            layers = "all-but-last"
        if isinstance(layers, str):
            return list(range(count if layers == "all" else count - 1))
        outside = [index for index in layers if index >= count]
        if outside:
            raise ValueError(
                f"topology.layers: {outside[0]} is not a layer; known: 0 to {count - 1}"
            )
        return sorted(set(layers))
