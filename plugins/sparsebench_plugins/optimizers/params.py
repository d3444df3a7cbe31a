"""Parameters of the optimizers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsebench.core.sizes import UpdateRule
from sparsebench.registry import OfKind

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
DecayKind = Literal["coupled", "decoupled", "decoupled-unscaled"]


@dataclass(frozen=True)
class OptimizerParams:
    """What every optimizer has.

    decay  coupled: weight_decay w is added to the gradient of weights, not of biases (L2);
           decoupled: w -= rate weight_decay w, weights only (AdamW);
           decoupled-unscaled: w -= weight_decay w, biases too, as the released codes of SET do
    """

    learning_rate: Rate = 0.01
    weight_decay: Decay = 0.0
    decay: DecayKind = "coupled"
    schedule: Annotated[Any, OfKind("schedule")] = "constant"


@dataclass(frozen=True)
class SgdParams(OptimizerParams):
    """v = momentum v - rate g;  w += v, or with Nesterov w += momentum v - rate g."""

    momentum: Momentum = 0.0
    nesterov: bool = False

    def rule(self) -> UpdateRule:
        return UpdateRule(
            slots=int(self.momentum > 0),
            kernel="sgd",
            temporary=2 if self.nesterov and self.momentum else 1,
        )


@dataclass(frozen=True)
class AdamParams(OptimizerParams):
    """Kingma and Ba (2015), arXiv 1412.6980, algorithm 1."""

    learning_rate: Rate = 0.001
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    tiny: Annotated[float, Field(gt=0)] = 1e-8

    def rule(self) -> UpdateRule:
        return UpdateRule(slots=2, kernel="adam", temporary=3)
