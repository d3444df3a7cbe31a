"""Density schedules: the number of connections over time. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.step import TrainingStep


@dataclass(frozen=True)
class Unchanging:
    """The same number from the start to the end."""

    start: ClassVar[None] = None
    globally: ClassVar[bool] = False

    def share(self, step: TrainingStep, last: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Cubic:
    """start     density at the start
    begin     share of all steps before which nothing is pruned
    globally  the weakest of all layers go; false: each layer has a target of its own

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
