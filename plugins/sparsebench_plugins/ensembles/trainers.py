"""Trainers that make an ensemble or an average in one training. Free of heavy imports."""

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
    """A trainer in one process that supports observers."""

    def hidden_from(self, observer: Observer) -> str | None:
        return None

    def warm_up(self, work: Work) -> None:
        from sparsebench.core.training.warmup import warm_up

        warm_up(work, gradients=False)


@dataclass(frozen=True)
class FreeTickets(OneProcess):
    """An ensemble whose members are trained one after the other in one sparse training. After a
    long exploration there is a phase for each member, which starts by replacing many connections
    and ends with a copy of the network.

    members   number of networks in the ensemble
    explore   share of the epochs before the first member's phase
    drop      fraction of the connections that is replaced at the start of each phase but the first
    disjoint  replace connections by ones that no earlier member had, as far as possible

    Liu et al. (2022), arXiv 2106.14568, EDST. The schedule of the learning rate restarts in each
    phase. The ensemble predicts the mean of the members' probabilities. It takes the time of one
    training, and memory for the weights of all members.
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

    Van der Wal et al. (2025), doi 10.1007/s00521-025-11294-3. As in the released code, 0.8 of the
    connections are replaced at the start of each phase. `disjoint` is their fully disjoint variant,
    applied to every layer and not only to those with a density below 1/4. Their learning rate is
    halved in the second half of a phase: `schedule = { name = "step", ... }` counts the epochs of a
    phase.
    """

    members: Annotated[int, Interval(gt=1)] = 5
    explore: Annotated[float, Interval(ge=0, lt=1)] = 2 / 7


@dataclass(frozen=True)
class SupTickets(OneProcess):
    """One network that is the average of copies from the last cycles of a sparse training, pruned
    to their number of connections.

    begin   share of the epochs after which cycles begin
    cycle   number of epochs in each cycle
    drop    fraction of the connections that is replaced at the start of each cycle
    merge   mean: average the weights over all copies; largest: take each connection's weight from
            the last copy that has it. In both cases the largest weights are kept

    Yin et al. (2022), arXiv 2205.15322, Sup-tickets; Steerneman (2022) merges by the largest. The
    schedule of the learning rate restarts in each cycle. Biases and trained parameters of
    activations are averaged.
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
    """A shared trunk with several sparse heads that are trained together as an ensemble.

    heads   number of heads
    layers  number of layers in each head, the output layer included; the layers before are the
            trunk

    Grooten et al. (2025), arXiv 2505.17909. The heads' probabilities are averaged. Any method may
    drop and grow connections; the paper uses RigL's growth at density 0.2 every 1,000 steps. Each
    head has the number of connections of a single network, drawn separately, and they stay within
    the head. The loss is the mean of the heads' losses (the paper's code was not available), so
    gradients in a head are `heads` times smaller than in a single network. All heads are stored as
    one network of wide layers: the weakest connections are chosen over a layer of all heads, and
    each head grows as many as it lost. Time and memory are those of a trunk and `heads` heads, for
    training and prediction.
    """

    heads: Annotated[int, Interval(gt=1)] = 3
    layers: Annotated[int, Interval(gt=0)] = 2

    def warm_up(self, work: Work) -> None:
        from sparsebench_plugins.ensembles.neurotrails import HeadedWork

        super().warm_up(HeadedWork.of(work, 1))  # whose loss makes steps go layer by layer

    def run(self, work: Work) -> Result:
        from sparsebench_plugins.ensembles.neurotrails import train_heads

        return train_heads(work, self.heads, self.layers)
