"""Trains a network in phases, and copies it at the end of each phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.dead_neurons import refuse_compaction
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import Result, Work
from sparsebench.errors import Unsupported
from sparsebench_plugins.ensembles.members import (
    Member,
    accuracy,
    average,
    calibration_error,
    disagreement,
    probabilities,
)
from sparsebench_plugins.topologies.candidates import completed
from sparsebench_plugins.topologies.dynamic import Dynamic
from sparsebench_plugins.update_schedules import Constant

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import Keys

Phase = tuple[int, int]
"""The first and last epoch of a phase."""


def train_members(work: Work, count: int, *, explore: float, drop: float, disjoint: bool) -> Result:
    """Train an ensemble of `count` members in phases of one training; see
    `trainers.FreeTickets`."""
    if disjoint:
        refuse_compaction(work, "members share no connections by them")
    explored = round(explore * work.epochs)
    left = work.epochs - explored
    if left < count:
        raise Unsupported(f"{left} epochs behind the exploration for {count} members")
    ends = [explored + left * number // count for number in range(count + 1)]
    phases = [(1, ends[1]), *((a + 1, b) for a, b in pairwise(ends[1:]))]
    members: list[Member] = []
    training = None
    for training in _phases(work, phases, drop, members if disjoint else None):
        members.append(Member.of(training.network))
    assert training is not None
    result = training.result()
    result.measures.update(scores_of(work, members))
    return result


def scores_of(work: Work, members: Sequence[Member]) -> dict[str, float | None]:
    """The measures of an ensemble, which averages its members' probabilities, and of its
    members."""
    found = [probabilities(work, member) for member in members]
    labels = work.data.test.targets
    assert labels is not None
    together = np.mean(found, axis=0)
    return {
        "ensemble_members": len(members),
        "ensemble_connections": sum(member.connections for member in members),
        "ensemble_accuracy": accuracy(together, labels),
        "member_accuracy": float(np.mean([accuracy(P, labels) for P in found])),
        "ensemble_disagreement": disagreement(found) if len(found) > 1 else None,
        "ensemble_ece": calibration_error(together, labels),
        "member_ece": float(np.mean([calibration_error(P, labels) for P in found])),
    }


def train_average(
    work: Work, *, begin: float, cycle: int, drop: float, merge: Literal["mean", "largest"]
) -> Result:
    """Train in cycles; the average of the copies of the last cycles becomes the trained network.
    See `trainers.SupTickets`."""
    refuse_compaction(work, "copies are averaged by them")
    began = max(1, round(begin * work.epochs))
    firsts = range(began + 1, work.epochs + 1, cycle)
    cycles = [(first, min(first + cycle - 1, work.epochs)) for first in firsts]
    members: list[Member] = []
    training = None
    for training in _phases(work, [(1, began), *cycles], drop, None):
        members.append(Member.of(training.network))
    assert training is not None
    labels = work.data.test.targets
    assert labels is not None
    merged = average(members, merge)
    result = training.result()
    result.measures.update(
        ensemble_members=len(members),
        averaged_accuracy=accuracy(probabilities(work, merged), labels),
        member_accuracy=float(
            np.mean([accuracy(probabilities(work, member), labels) for member in members])
        ),
    )
    return replace(result, network=merged.network(work))


def _phases(
    work: Work, phases: Sequence[Phase], drop: float, others: list[Member] | None
) -> Iterator[Training]:
    """Train phase by phase; yields the training at the end of each phase.

    drop    fraction of the connections that is replaced at the start of each phase but the first
    others  members whose connections may not grow then; None: all positions may
    """
    refuse_no_ensemble(work)
    topology = work.topology
    if drop and not isinstance(topology, Dynamic):
        raise Unsupported(f"{type(topology).__name__} replaces no connections; name another method")
    with work.meter.phase("build"):
        network = build_network(work)
        steps = Batches(work, network)
        training = Training(work, network, steps, scaled=Restarted(work, phases, steps.per_epoch))
    for number, (first, last) in enumerate(phases):
        if number and drop:
            assert isinstance(topology, Dynamic)
            grow = topology.grow if others is None else UnusedPositionGrow(_used(others))
            once = replace(topology, update=Constant(zeta=drop), grow=grow)
            training.update_once(once, first - 1)
        training.run(first, last)
        yield training
        if training.diverged:
            return


def refuse_no_ensemble(work: Work) -> None:
    """Raise Unsupported if a trial's components cannot be trained as an ensemble."""
    if work.loss.targets != "labels":
        raise Unsupported("an ensemble is of classifiers: the objective has no classes")
    if work.keeper is not None:
        raise Unsupported("the members of an ensemble are in no checkpoint; leave it out")


class Restarted:
    """A learning-rate schedule that restarts in each phase."""

    def __init__(self, work: Work, phases: Sequence[Phase], per_epoch: int) -> None:
        self._optimizer, self._phases, self._per_epoch = work.optimizer, phases, per_epoch

    def __call__(self, rate: float, t: int) -> float:
        epoch = (t - 1) // self._per_epoch + 1
        first, last = next((p for p in self._phases if p[0] <= epoch <= p[1]), self._phases[-1])
        since, steps = (first - 1) * self._per_epoch, (last - first + 1) * self._per_epoch
        factor = self._optimizer.schedule.factor(t - since, steps, self._per_epoch)
        return self._optimizer.learning_rate * factor


@dataclass(frozen=True, eq=False)
class UnusedPositionGrow:
    """A grow criterion: random positions that no other member used, as long as such are found.

    used  for each layer the used positions, row D + column, ascending
    """

    used: list[Keys]

    signals: ClassVar[tuple[Signal, ...]] = ()
    ranks: ClassVar[bool] = False
    scans: ClassVar[bool] = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        rows, columns = layer.random_positions(keep, 2 * count + layer.W.nnz, "fresh")
        keys = rows.astype(np.int64) * layer.W.shape[1] + columns
        fresh = np.flatnonzero(~np.isin(keys, self.used[layer.index]))
        some = np.sort(layer.rng("fresh").permutation(fresh)[:count])
        return Candidates(*completed(layer, keep, (rows[some], columns[some]), count))


def _used(members: Sequence[Member]) -> list[Keys]:
    each = zip(*(member.weights for member in members), strict=True)
    return [np.unique(np.concatenate([W.pattern.keys() for W in layer])) for layer in each]
