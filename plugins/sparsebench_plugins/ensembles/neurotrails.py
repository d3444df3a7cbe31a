"""Trains a shared trunk with several heads; see `trainers.NeuroTrails`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from sparsebench.core.methods.initial import ChoosesPositions
from sparsebench.core.methods.protocols import AdaptiveDensity, EveryStep
from sparsebench.core.nn.parametrisation import Reparametrises
from sparsebench.core.protocols import Loss, Network
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.dead_neurons import refuse_compaction
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import Result, Work
from sparsebench.errors import Unsupported
from sparsebench_plugins.ensembles.heads import (
    Heads,
    LastHead,
    MeanLoss,
    OfHeads,
    Split,
    TrunkAndHeads,
    ValuesOfHeads,
    WatchesHeads,
    WithinHeads,
    part_of,
)
from sparsebench_plugins.ensembles.members import Member
from sparsebench_plugins.ensembles.training import refuse_no_ensemble, scores_of
from sparsebench_plugins.topologies.dynamic import Allocated, Dynamic, Fixed


@dataclass(frozen=True, kw_only=True)
class HeadedWork(Work):
    """The input of a trainer for a network with several heads; the loss is the mean of the heads'
    losses."""

    heads: int

    @property
    def loss(self) -> Loss:
        return MeanLoss(super().loss, self.heads)

    @classmethod
    def of(cls, work: Work, heads: int, **changed: Any) -> HeadedWork:
        parts = {one.name: getattr(work, one.name) for one in fields(work)}
        return cls(heads=heads, **{**parts, **changed})


def train_heads(work: Work, count: int, depth: int) -> Result:
    """Train a trunk with `count` heads of `depth` layers each. The network of the result is the
    trunk with the last head. Raises Unsupported if the trial's components do not allow heads."""
    refuse_no_ensemble(work)
    refuse_compaction(work, "those of a head follow each other")
    single = work.model.shapes(work.data.features, work.data.outputs)
    heads = Heads(count, len(single) - depth)
    if heads.trunk < 1:
        raise Unsupported(
            f"heads of {depth} layers leave no trunk in a network of {len(single)}; lower "
            "trainer.layers"
        )
    headed = HeadedWork.of(
        work,
        count,
        model=TrunkAndHeads(work.model, heads),
        topology=within(work.topology, heads),
        data=replace(work.data, targets=LastHead(work.data.targets)),
    )
    with work.meter.phase("build"):
        network = build_network(headed)
        training = Training(headed, network, Batches(headed, network))
    training.run(1, work.epochs)
    result = training.result()
    possible = sum(
        K * D * (1 if index < heads.trunk else count) for index, (K, D) in enumerate(single)
    )
    connections = sum(layer.nnz for layer in network.layers)
    result.measures.update(dense_connections=possible, density=connections / possible)
    if training.diverged:
        return result
    members = [member(network, heads, number) for number in range(count)]
    result.measures.update(scores_of(work, members))
    result.measures.update(ensemble_connections=connections)
    grow = getattr(headed.topology, "grow", None)
    if isinstance(grow, WithinHeads) and (own := grow.split.nbytes()):
        result.measures["method_bytes"] = own + (result.measures.get("method_bytes") or 0)
    return replace(result, network=members[-1].network(work))


def member(network: Network, heads: Heads, number: int) -> Member:
    """A copy of the trunk and one head."""
    weights, biases, learnt = [], [], []
    rows: list[slice] = []
    for index, layer in enumerate(network.layers):
        W, part = layer.weights(), slice(None)
        if index >= heads.trunk:
            start, shape = heads.block(index, W.shape, number)
            W, part = part_of(W, start, shape), slice(start[0], start[0] + shape[0])
        weights.append(replace(W, data=W.data.copy()))
        biases.append(layer.bias()[part].copy())
        rows.append(part)
    for name, value in network.parameters().items():
        at = int(name.partition(".")[0].removeprefix("unit")) - 1
        learnt.append(value[rows[at]].copy())
    return Member(weights, biases, learnt)


def within(topology: Any, heads: Heads) -> Any:
    """The topology method for the network with all heads: each head has the number of connections
    of a single network, and they stay within the head. Raises Unsupported for a method that decides
    over whole layers in its own way."""
    name = type(topology).__name__
    usual = (Dynamic.layer_updates, Fixed.layer_updates)
    if (
        not isinstance(topology, Allocated)
        or isinstance(topology, Reparametrises)
        or type(topology).layer_updates not in usual  # type: ignore[attr-defined]
    ):
        raise Unsupported(
            f"{name} decides over whole layers, and heads share them; name a method of "
            "general parts, or static"
        )
    if isinstance(topology.allocation, ChoosesPositions):
        raise Unsupported(
            f"{name} places its first connections by whole layers, and heads share them; "
            "set topology.allocation to one that gives numbers, such as 'er'"
        )
    allocation = OfHeads(topology, heads)
    if not isinstance(topology, Dynamic):
        return replace(topology, allocation=allocation, dense_last=False)
    if isinstance(topology.density_schedule, AdaptiveDensity):
        raise Unsupported(
            f"{type(topology.density_schedule).__name__} decides the density of whole layers, and "
            "heads share them; name another density_schedule"
        )
    split = Split(heads)
    watches = isinstance(topology.grow, EveryStep)
    all_but_last = topology.dense_last and topology.layers == topology.evolve == "all"
    return replace(
        topology,
        allocation=allocation,
        dense_last=False,
        layers="all-but-last" if all_but_last else topology.layers,
        grow=(WatchesHeads if watches else WithinHeads)(topology.grow, split),
        grown=ValuesOfHeads(topology.grown, split),
    )
