"""Learning-rate schedules: the factor of the learning rate at each step t = 1..steps. Each is
registered in `__init__.py` of the package."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval

from sparsebench.registry import OfKind


@dataclass(frozen=True)
class Constant:
    """The learning rate does not change."""

    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Step:
    """The learning rate is multiplied by `gamma` after each of the `epochs`.

    epochs  epochs after which the rate changes, counted from 1
    gamma   factor of each change
    """

    epochs: tuple[Annotated[int, Interval(gt=0)], ...]
    gamma: Annotated[float, Interval(gt=0)] = 0.1

    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        passed = (t - 1) // steps_per_epoch
        return float(self.gamma ** sum(epoch <= passed for epoch in self.epochs))


@dataclass(frozen=True)
class Cosine:
    """The factor falls from 1 to `final` along half a cosine over all steps.

    final  factor at the last step
    """

    final: Annotated[float, Interval(ge=0, le=1)] = 0.0

    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        progress = (t - 1) / max(1, steps - 1)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Linear:
    """The factor falls from 1 to `final` along a line over all steps.

    final  factor at the last step
    """

    final: Annotated[float, Interval(ge=0, le=1)] = 0.0

    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        return 1 - (1 - self.final) * (t - 1) / max(1, steps - 1)


@dataclass(frozen=True)
class WarmUp:
    """The factor rises linearly from `start` to 1 over the first `epochs`, and is multiplied with
    that of the schedule `then` in all steps.

    epochs  epochs of the rise
    start   factor at the start
    then    schedule that the rise is multiplied with
    """

    epochs: Annotated[int, Interval(gt=0)] = 5
    start: Annotated[float, Interval(ge=0, le=1)] = 0.0
    then: Annotated[Any, OfKind("schedule")] = "constant"

    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        warm = self.epochs * steps_per_epoch
        rise = self.start + (1 - self.start) * min(1.0, t / warm)
        return rise * float(self.then.factor(t, steps, steps_per_epoch))
