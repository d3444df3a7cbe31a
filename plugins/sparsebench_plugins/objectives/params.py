"""Parameters and scores of the objectives. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Interval

from sparsebench.core.metric import DefaultGate, Metric, columns
from sparsebench.registry import OfKind

ACCURACY = Metric("accuracy", "fraction", "points", +1, gate=DefaultGate(floor=0.005))
RMSE = Metric("rmse", scale="ratio", better=-1, title="RMSE", gate=DefaultGate(threshold=0.05))
MAE = Metric("mae", scale="ratio", better=-1, title="mean absolute error")
R2 = Metric("r2", better=+1, title="R²")
MSE = Metric("mse", scale="ratio", better=-1, title="MSE", gate=DefaultGate(threshold=0.05))
F1 = Metric("f1", "fraction", "points", +1, title="F1", gate=DefaultGate(floor=0.005))
FLAGS = Metric("flags", "fraction", "points", +1, title="share of right labels")


NUMBERS = (RMSE, MAE, R2)

LossPart = Annotated[Any, OfKind("loss")]


@dataclass(frozen=True)
class Scored:
    """Base class: declares the metrics of an objective. `scores` has them as the objective computes
    them, the primary one first; `metrics` has the columns in which a record stores them.

    stratified  whether a split keeps the proportions of the classes
    """

    stratified: ClassVar[bool] = False

    @property
    def scores(self) -> Sequence[Metric]:
        return NUMBERS

    @property
    def metrics(self) -> Sequence[Metric]:
        return columns(self.scores)

    def outputs(self, features: int, targets: int) -> int:
        return targets


@dataclass(frozen=True)
class ClassificationParams(Scored):
    """loss  the loss to minimise; none: the model's, else cross-entropy"""

    loss: LossPart | None = None

    stratified: ClassVar[bool] = True

    @property
    def scores(self) -> Sequence[Metric]:
        return (ACCURACY,)


@dataclass(frozen=True)
class RegressionParams(Scored):
    """A number per sample.

    loss  the loss to minimise
    """

    loss: LossPart = "squared-error"

    def outputs(self, features: int, targets: int) -> int:
        return 1


@dataclass(frozen=True)
class DenseOutputParams(Scored):
    """Several numbers, or several labels that are 0 or 1, per sample.

    loss  squared-error for numbers, binary-cross-entropy or flag-squared-error for labels that are
          0 or 1 each
    """

    loss: LossPart = "squared-error"

    @property
    def scores(self) -> Sequence[Metric]:
        return (F1, FLAGS) if self.loss.targets == "flags" else NUMBERS


@dataclass(frozen=True)
class ReconstructionParams(Scored):
    """noise  standard deviation of normal noise on the scaled inputs in training; 0: no noise
    fresh  draw new noise each time that a sample is read; false: each sample keeps its noise
    loss   the loss to minimise
    """

    noise: Annotated[float, Interval(ge=0)] = 0.0
    fresh: bool = False
    loss: LossPart = "squared-error"

    @property
    def scores(self) -> Sequence[Metric]:
        return (MSE, R2)

    def outputs(self, features: int, targets: int) -> int:
        return features
