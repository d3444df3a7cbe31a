"""Parameters of the models. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sparsebench.registry import OfKind


@dataclass(frozen=True)
class MlpParams:
    """hidden  neurons of each hidden layer, in order
    dropout  the share of hidden outputs set to 0 in training
    init     values of the connections; biases start at 0
    """

    hidden: tuple[Annotated[int, Field(gt=0)], ...]
    activation: Annotated[Any, OfKind("activation")] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init: Annotated[Any, OfKind("initializer")] = "he-uniform"
    loss: Annotated[Any, OfKind("loss")] = "cross-entropy"
