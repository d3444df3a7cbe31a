"""Density schedules: the number of connections over time. Free of heavy imports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Signal
from sparsebench.core.methods.training_position import TrainingStep

if TYPE_CHECKING:
    from sparsebench.core.methods.view import NetworkView


@dataclass(frozen=True)
class Unchanging:
    """The number of connections does not change."""

    start: ClassVar[None] = None
    globally: ClassVar[bool] = False

    def share(self, step: TrainingStep, last: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Cubic:
    """A density that falls from `start` to the final one as a cubic function.

    start     density at the start
    begin     share of all steps before which nothing is pruned
    globally  prune the weakest connections of all layers together; false: each layer has a target

    n(t) = n_end + (n_start - n_end) (1 - (t - t_0) / (t_end - t_0))^3, with t_end the last update.
    Zhu and Gupta (2017), arXiv 1710.01878, eq. 1; GraNet, Liu et al. (2021), arXiv 2106.10404.
    """

    start: Annotated[float, Interval(gt=0, le=1)] = 0.5
    begin: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    globally: bool = True

    def share(self, step: TrainingStep, last: int) -> float:
        begin = self.begin * step.steps
        if step.step >= last:
            return 0.0
        if step.step <= begin:
            return 1.0
        return float(min(1.0, 1 - (step.step - begin) / (last - begin)) ** 3)


@dataclass(frozen=True)
class FromDense(Cubic):
    """Gradual magnitude pruning: as `cubic`, but starting with a full network. Time and memory are
    those of a dense network at first."""

    start: Annotated[float, Interval(gt=0, le=1)] = 1.0


@dataclass(frozen=True)
class Sigmoid(Cubic):
    """A density that falls as a logistic function.

    curvature  steepness of the logistic function

    n(t) = n_end + (n_start - n_end) s(x), x = (t - t_0) / (t_end - t_0), with s the logistic
    function 1 / (1 + exp(curvature (x - 1/2))), stretched to be 1 at x = 0 and 0 at x = 1.

    CHTss, Zhang et al. (2025), arXiv 2501.19107, eq. 4. Its sign is wrong in print; this is the
    function of the released code.
    """

    curvature: Annotated[float, Interval(gt=0)] = 6.0

    def share(self, step: TrainingStep, last: int) -> float:
        left = super().share(step, last) ** (1 / 3)
        lowest, highest = self._logistic(0.0), self._logistic(1.0)
        return min(1.0, max(0.0, (self._logistic(left) - lowest) / (highest - lowest)))

    def _logistic(self, left: float) -> float:
        return 1 / (1 + math.exp(-self.curvature * (left - 0.5)))


@dataclass(frozen=True)
class Rounds:
    """One-shot or iterative pruning: each round keeps the same share of the remaining connections.

    start     density at the start
    rounds    number of prunings; 1: all at once
    begin     share of all steps at which the first pruning takes place
    end       share of all steps at which the last pruning takes place
    globally  prune the weakest connections of all layers together; false: each layer has a target

    Frankle and Carbin (2019), arXiv 1803.03635, section 2.
    """

    start: Annotated[float, Interval(gt=0, le=1)] = 1.0
    rounds: Annotated[int, Interval(gt=0)] = 1
    begin: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    end: Annotated[float, Interval(gt=0, lt=1)] = 0.75
    globally: bool = True

    signals: ClassVar[tuple[Signal, ...]] = ()

    def share(self, step: TrainingStep, last: int) -> float:
        """Unused: `targets` decides."""
        return 0.0

    def targets(self, network: NetworkView, ends: Sequence[int], fraction: float) -> list[int]:
        share = self.done(network.step) / self.rounds
        return [
            max(1, round(start ** (1 - share) * end**share))
            for start, end in zip(network.started, ends, strict=True)
        ]

    def done(self, step: TrainingStep) -> int:
        """The number of rounds up to this step."""
        at = step.step / step.steps
        if at < self.begin:
            return 0
        if self.rounds == 1 or at >= self.end:
            return self.rounds
        return 1 + int((self.rounds - 1) * (at - self.begin) / (self.end - self.begin))


@dataclass(frozen=True)
class Pals:
    """A density that follows the validation loss: PALS.

    start     density at the start
    gamma     ratio of the fractions of connections pruned and regrown when the density falls, or
              regrown and pruned when it rises
    slack     largest validation loss, relative to the best, at which it still prunes
    densest   above this density it prunes for any loss
    sparsest  at or below this density it does not prune

    Atashgahi et al. (2023), arXiv 2305.18382, as released. It prunes while the density is above
    `densest`; or while the validation loss is at most `slack` times the best and the density is
    above `sparsest`. Otherwise it grows if the loss is above that and the network is sparser than
    at its best, or else keeps the density. Pruning removes a fraction (gamma - 1) zeta of the
    connections, growth adds the same number. It starts dense. Deviation: all layers lose the same
    share.
    """

    start: Annotated[float, Interval(gt=0, le=1)] = 1.0
    gamma: Annotated[float, Interval(gt=1, lt=2)] = 1.1
    slack: Annotated[float, Interval(ge=1)] = 1.05
    densest: Annotated[float, Interval(gt=0, le=1)] = 0.8
    sparsest: Annotated[float, Interval(gt=0, le=1)] = 0.1

    globally: ClassVar[bool] = False
    signals: ClassVar[tuple[Signal, ...]] = ("validation",)

    def share(self, step: TrainingStep, last: int) -> float:
        """Unused: `targets` decides."""
        return 0.0

    def targets(self, network: NetworkView, ends: Sequence[int], fraction: float) -> list[int]:
        import numpy as np

        now, loss = list(network.connections), network.validation.loss
        room = [K * D for K, D in network.shapes]
        density = sum(now) / sum(room)
        # the best loss, and the density it was reached at
        best = network.state.arrays.setdefault(("pals", 0), np.array([np.inf, 1.0]))
        change = 0.0
        good = loss <= self.slack * best[0]
        if density > self.densest or (good and density > self.sparsest):
            change = -(self.gamma - 1) * fraction
        elif not good and density < best[1]:
            change = (self.gamma - 1) * fraction
        if loss < best[0]:
            best[:] = loss, density
        return [
            max(1, min(most, count + round(change * count)))
            for count, most in zip(now, room, strict=True)
        ]


@dataclass(frozen=True)
class FullAndSparse:
    """Alternating full and sparse phases: AC/DC.

    start  density at the start
    warm   share of all steps before the first pruning
    phase  share of all steps that each sparse phase takes, and each full phase
    last   share of all steps after which the network stays sparse

    Peste et al. (2021), arXiv 2106.12379. The defaults are the released code's epochs for CIFAR,
    out of 200: pruned at 10, full again at 30, pruned at 50, ..., sparse from 170 on. The weakest
    connections of all layers are pruned together. In full phases, time and memory are those of a
    full network.
    """

    start: Annotated[float, Interval(gt=0, le=1)] = 1.0
    warm: Annotated[float, Interval(ge=0, lt=1)] = 0.05
    phase: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    last: Annotated[float, Interval(gt=0, lt=1)] = 0.85

    globally: ClassVar[bool] = True
    signals: ClassVar[tuple[Signal, ...]] = ()

    def why_not_compact(self) -> str:
        return "makes every position a connection again"

    def share(self, step: TrainingStep, last: int) -> float:
        """Unused: `targets` decides."""
        return 0.0

    def targets(self, network: NetworkView, ends: Sequence[int], fraction: float) -> list[int]:
        at = network.step.step / network.step.steps
        turns = math.floor((at - self.warm) / self.phase + 1e-9)  # -1: before the first
        full = [K * D for K, D in network.shapes]
        sparse = at >= self.last or (turns >= 0 and turns % 2 == 0)
        return list(ends) if sparse else full
