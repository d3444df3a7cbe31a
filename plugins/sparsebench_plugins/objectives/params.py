"""Parameters of the objectives, and what each scores. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sparsebench.core.metric import Metric
from sparsebench.registry import OfKind

ACCURACY = Metric("accuracy", "fraction", "points", better=1, title="accuracy")
RMSE = Metric("rmse", better=-1, title="root mean squared error")
MAE = Metric("mae", better=-1, title="mean absolute error")
R2 = Metric("r2", better=1, title="R²")
MSE = Metric("mse", better=-1, title="mean squared error")
F1 = Metric("f1", "fraction", "points", better=1, title="F1 over all labels")
FLAGS = Metric("flags", "fraction", "points", better=1, title="labels that are right")


@dataclass(frozen=True)
class ClassificationParams:
    """loss  the model's own where it names one, else cross-entropy"""

    loss: Annotated[Any, OfKind("loss")] | None = None

    stratified = True

    @property
    def metrics(self) -> Sequence[Metric]:
        return (ACCURACY,)

    def outputs(self, features: int, targets: int) -> int:
        return targets


@dataclass(frozen=True)
class RegressionParams:
    """A number per sample."""

    loss: Annotated[Any, OfKind("loss")] = "squared-error"

    stratified = False

    @property
    def metrics(self) -> Sequence[Metric]:
        return (RMSE, MAE, R2)

    def outputs(self, features: int, targets: int) -> int:
        return 1


@dataclass(frozen=True)
class DenseOutputParams:
    """loss  squared-error for numbers, binary-cross-entropy for several labels, 0 or 1 each"""

    loss: Annotated[Any, OfKind("loss")] = "squared-error"

    stratified = False

    @property
    def metrics(self) -> Sequence[Metric]:
        return (F1, FLAGS) if self.loss.targets == "flags" else (RMSE, MAE, R2)

    def outputs(self, features: int, targets: int) -> int:
        return targets


@dataclass(frozen=True)
class ReconstructionParams:
    """noise  deviation of the normal noise on the scaled inputs in training; 0: none
    fresh  other noise each time that a sample is read; else each keeps the noise it has
    """

    noise: Annotated[float, Field(ge=0)] = 0.0
    fresh: bool = False
    loss: Annotated[Any, OfKind("loss")] = "squared-error"

    stratified = False

    @property
    def metrics(self) -> Sequence[Metric]:
        return (MSE, R2)

    def outputs(self, features: int, targets: int) -> int:
        return features
