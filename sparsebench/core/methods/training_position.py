"""The position in training that schedules receive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStep:
    """A position in training. `epoch` and `step` are those just finished, counted from 1."""

    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    epoch_ended: bool

    @property
    def steps(self) -> int:
        """Number of steps in the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def last_epoch(self) -> bool:
        return self.epoch >= self.epochs

    @property
    def last_step(self) -> bool:
        """Whether no step follows, so that connections grown now would never be trained."""
        return self.last_epoch and self.epoch_ended


@dataclass(frozen=True)
class Validation:
    """The results of a network on the validation samples.

    loss   the mean loss
    score  the objective's primary score, negated if lower is better, so that higher is better
    """

    loss: float
    score: float
