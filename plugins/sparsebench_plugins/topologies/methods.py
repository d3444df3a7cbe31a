"""Topologies that drop and grow: sentences of parts, each with its paper's defaults."""

from __future__ import annotations

from collections.abc import Iterator

from sparsebench.core.arrays import Matrix
from sparsebench.core.methods.compose import Sentence, updates
from sparsebench.core.methods.protocols import EveryStep, LayerUpdate, Needs
from sparsebench.core.methods.view import LayerView, NetworkView
from sparsebench.errors import Unsupported
from sparsebench_plugins.topologies.params import (
    GraNetParams,
    GseParams,
    MethodParams,
    RigLParams,
    SetParams,
    SnfsParams,
)
from sparsebench_plugins.update_schedules.schedules import Regular


class Dynamic(MethodParams):
    """A method made of the parts that the suite names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.redistribution.shares == "ranked" and not self.grow.ranks:
            raise Unsupported(
                f"{type(self.redistribution).__name__} lets layers compete by score, and "
                f"{type(self.grow).__name__} gives none; set redistribution = 'none'"
            )
        schedule = self.schedule()
        if self.replaces_step and isinstance(schedule, Regular) and schedule.every == 1:
            raise Unsupported("an update in every step, in its place, would leave none to train")

    @property
    def needs(self) -> Needs:
        parts = (self.drop, self.grow, self.redistribution)
        return Needs(
            signals=frozenset(signal for part in parts for signal in part.signals),
            every_step=isinstance(self.grow, EveryStep),
            scans=self.grow.scans,
        )

    def layer_updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        schedule, density = self.schedule(), self.density_schedule
        part = self.takes_part(network.count)
        sentence = Sentence(
            drop=self.drop,
            grow=self.grow,
            redistribution=self.redistribution,
            fraction=schedule.fraction(network.step),
            takes_part=part,
            targets=self._targets(network) if density.start is not None else None,
            globally=density.globally,
            initial=self.grown,
            keeps_regrown=self.keeps_regrown,
        )
        return updates(sentence, network)

    def after_backward(self, layer: LayerView, X: Matrix, DZ: Matrix) -> None:
        """Show a layer's part of a training step to the growth."""
        if layer.index in self.takes_part(layer.count):
            self.grow.after_backward(layer, X, DZ)

    def _targets(self, network: NetworkView) -> list[int]:
        """Connections of each layer at this step."""
        step = network.step
        last = self.schedule().last(step.steps, step.steps_per_epoch)
        share = self.density_schedule.share(step, last)
        ends = self.final_connections(network.shapes)
        return [
            end + round((start - end) * share)
            for start, end in zip(network.started, ends, strict=True)
        ]


class SET(SetParams, Dynamic):
    """Sparse evolutionary training: drop the weakest of each sign, grow as many at random.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update. Deviation: the
    paper ends with a drop that is not regrown; the released codes and this do not.
    """


class RigL(RigLParams, Dynamic):
    """Drop the smallest magnitudes, grow where the gradient of a mini-batch is largest.

    Evci et al. (2020), arXiv 1911.11134, algorithm 1. As released, a connection that is dropped
    and grown at once keeps its weight. Deviations: a full layer is updated like any other, and no
    noise breaks ties between magnitudes (the released code adds N(0, 1e-5)).
    """


class Gse(GseParams, Dynamic):
    """RigL among sampled positions, over all layers at once: O(nnz) time and memory.

    Heddes et al. (2024), arXiv 2401.06898. Deviations: of `grow`; the weakest of all layers are
    dropped before the growth, where the released code drops after it.
    """


class Snfs(SnfsParams, Dynamic):
    """Sparse networks from scratch: momentum decides where connections grow, and in which layer.

    Dettmers and Zettlemoyer (2019), arXiv 1907.04840. Deviations: of `grow` and
    `redistribution`; the fraction falls to 0 where the released code stops at 0.005.
    """


class GraNet(GraNetParams, Dynamic):
    """Gradual pruning with zero-cost regeneration: the density falls, while RigL's drop and growth
    go on.

    Liu et al. (2021), arXiv 2106.10404, sparse-to-sparse. The weakest of all layers are pruned by
    the cubic schedule; then each layer drops and grows. Regeneration ends with the pruning.
    """
