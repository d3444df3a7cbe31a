"""Parameters of the optimizers. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from sparsebench.registry import OfKind

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
DecayKind = Literal["coupled", "decoupled", "decoupled-unscaled"]


@dataclass(frozen=True)
class OptimizerParams:
    """Parameters of every optimizer.

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

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()


@dataclass(frozen=True)
class AdamParams(OptimizerParams):
    """Kingma and Ba (2015), arXiv 1412.6980, algorithm 1."""

    learning_rate: Rate = 0.001
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    tiny: Annotated[float, Field(gt=0)] = 1e-8

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")
