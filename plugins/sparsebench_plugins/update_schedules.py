"""Update schedules: when the topology is updated, and which fraction is dropped. Free of heavy
imports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from sparsebench.core.methods.training_position import TrainingStep

Zeta = Annotated[float, Interval(ge=0, lt=1)]
Steps = Annotated[int, Interval(gt=0)]
Share = Annotated[float, Interval(gt=0, le=1)]


@dataclass(frozen=True)
class Regular:
    """zeta   fraction of a layer's connections that the first update drops; none: the method's
    every  steps between updates; none: the method's update_every
    until  last step with an update, or a share of all steps; none: the method's update_until
    """

    zeta: Zeta | None = None
    every: Steps | None = None
    until: Steps | Share | None = None

    def due(self, step: TrainingStep) -> bool:
        if step.last_step or step.step > self._end(step.steps):
            return False
        if self.every is None:
            return step.epoch_ended
        return step.step % self.every == 0

    def last(self, steps: int, steps_per_epoch: int) -> int:
        """The step of the last update of a training with so many steps; 0 if there is none."""
        every = steps_per_epoch if self.every is None else self.every
        return min(self._end(steps), steps - 1) // every * every

    def count(self, first: int, last: int, steps: int, steps_per_epoch: int) -> int:
        """The number of updates from step `first` to step `last`."""
        every = steps_per_epoch if self.every is None else self.every
        end = min(last, self._end(steps), steps - 1)
        return max(0, end // every - (first - 1) // every)

    def _progress(self, step: TrainingStep) -> float:
        """The step as a share of `until`, the last step that may have an update; at most 1."""
        return min(1.0, step.step / max(1, self._end(step.steps)))

    def _end(self, steps: int) -> int:
        if self.until is None:
            return steps
        return self.until if isinstance(self.until, int) else int(self.until * steps)


class Constant(Regular):
    """The same fraction at each update."""

    def fraction(self, step: TrainingStep) -> float:
        return self.zeta or 0.0


class Cosine(Regular):
    """The fraction zeta / 2 (1 + cos(pi t / T_end)), which falls from zeta to 0. Dettmers and
    Zettlemoyer (2019); Evci et al. (2020), arXiv 1911.11134, section 3."""

    def fraction(self, step: TrainingStep) -> float:
        return (self.zeta or 0.0) / 2 * (1 + math.cos(math.pi * self._progress(step)))


class Linear(Regular):
    """The fraction zeta (1 - t / T_end), which falls from zeta to 0."""

    def fraction(self, step: TrainingStep) -> float:
        return (self.zeta or 0.0) * (1 - self._progress(step))
