"""A position in training, as schedules see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStep:
    """A position in training. Epochs and steps count from 1 and are those just finished."""

    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    epoch_ended: bool

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def last_epoch(self) -> bool:
        return self.epoch >= self.epochs

    @property
    def last_step(self) -> bool:
        """Whether no training follows, so that connections grown now would stay untrained."""
        return self.last_epoch and self.epoch_ended


@dataclass(frozen=True)
class Validation:
    """What a network reaches on the validation samples.

    loss   the mean
    score  the objective's primary one, with the sign that makes higher better
    """

    loss: float
    score: float
