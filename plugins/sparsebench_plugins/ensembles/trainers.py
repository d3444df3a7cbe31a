"""Trainers that make an ensemble, or an average, of one training. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observer

if TYPE_CHECKING:
    from sparsebench.core.training.work import Result, Work

METRICS = (
    Metric("ensemble_members", "count", title="members"),
    Metric("ensemble_connections", "count", title="connections of all members"),
    Metric("ensemble_accuracy", "fraction", "points", better=1, title="accuracy of the ensemble"),
    Metric("member_accuracy", "fraction", "points", better=1, title="mean accuracy of members"),
    Metric("ensemble_disagreement", "fraction", "points", title="disagreement of members"),
    Metric("ensemble_ece", "fraction", "points", better=-1, title="calibration error"),
    Metric("member_ece", "fraction", "points", better=-1, title="members' calibration error"),
    Metric("averaged_accuracy", "fraction", "points", better=1, title="accuracy of the average"),
)


class OneProcess:
    """A trainer whose network observers see."""

    def hidden_from(self, observer: Observer) -> str | None:
        return None

    def warm_up(self, work: Work) -> None:
        from sparsebench.core.training.warmup import warm_up

        warm_up(work, gradients=False)


@dataclass(frozen=True)
class FreeTickets(OneProcess):
    """Members of an ensemble one after the other in one sparse training: a long exploration, then
    a phase for each member, which starts with one large drop and growth and ends with a copy.

    members   networks of the ensemble
    explore   share of the epochs before the first member's phase
    drop      fraction of the connections that is replaced at the start of each phase but the first
    disjoint  replace connections by ones that no earlier member had, as far as there are any

    Liu et al. (2022), arXiv 2106.14568, EDST. The learning rate's schedule starts again in each
    phase. Predictions are the mean of the members' probabilities. Costs one training, and the
    members' weights in memory.
    """

    members: Annotated[int, Interval(gt=1)] = 3
    explore: Annotated[float, Interval(ge=0, lt=1)] = 1 / 3
    drop: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    disjoint: bool = False

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.ensembles.training import train_members

        return train_members(
            work, self.members, explore=self.explore, drop=self.drop, disjoint=self.disjoint
        )


@dataclass(frozen=True)
class Tse(FreeTickets):
    """Truly sparse ensembles: free-tickets with five members.

    Van der Wal et al. (2025), doi 10.1007/s00521-025-11294-3. As released, a drop of 0.8 at the
    start of each phase; `disjoint` is their fully disjoint variant, which here holds for every
    layer and not for those of a density below 1/4 alone. Their learning rate halves in the second
    half of a phase: `schedule = { name = "step", ... }` counts the epochs of a phase.
    """

    members: Annotated[int, Interval(gt=1)] = 5
    explore: Annotated[float, Interval(ge=0, lt=1)] = 2 / 7


@dataclass(frozen=True)
class SupTickets(OneProcess):
    """One network: the average of copies from the last cycles of a sparse training, pruned back.

    begin   share of the epochs after which cycles begin
    cycle   epochs of each cycle
    drop    fraction of the connections that is replaced at the start of each cycle
    merge   mean: of the weights on all copies' connections; largest: each connection's weight in
            the last copy that has it, and the largest of all stay, as merged parallel networks

    Yin et al. (2022), arXiv 2205.15322, Sup-tickets; Steerneman (2022) merges by the largest. The
    learning rate's schedule starts again in each cycle. Biases and what activations have learnt
    are averaged.
    """

    begin: Annotated[float, Interval(gt=0, lt=1)] = 0.9
    cycle: Annotated[int, Interval(gt=0)] = 8
    drop: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    merge: Literal["mean", "largest"] = "mean"

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.ensembles.training import train_average

        return train_average(
            work, begin=self.begin, cycle=self.cycle, drop=self.drop, merge=self.merge
        )


@dataclass(frozen=True)
class NeuroTrails(OneProcess):
    """A shared trunk with several sparse heads, trained together: an ensemble of one network.

    heads   their number
    layers  of each head, the output layer included; those before are the trunk

    Grooten et al. (2025), arXiv 2505.17909, for layers of neurons: heads vote by the mean of their
    probabilities, and any method drops and grows; the paper's is RigL's growth at density 0.2 every
    1,000 steps. A head has as many connections as those layers of a single network, drawn for
    itself, and they stay in it. The loss is the mean of the heads' (the paper's code was not
    available), so heads learn from gradients that are `heads` times smaller than a single
    network's, and the trunk from their mean. All heads are one network of wide layers: a method's
    weakest connections are those of a layer of all heads, and each head grows what it lost. Costs
    a trunk and `heads` heads, in time and memory, training and prediction alike.
    """

    heads: Annotated[int, Interval(gt=1)] = 3
    layers: Annotated[int, Interval(gt=0)] = 2

    def warm_up(self, work: Work) -> None:
        from sparsebench_plugins.ensembles.neurotrails import HeadedWork

        super().warm_up(HeadedWork.of(work, 1))  # whose loss makes steps go layer by layer

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.ensembles.neurotrails import train_heads

        return train_heads(work, self.heads, self.layers)
