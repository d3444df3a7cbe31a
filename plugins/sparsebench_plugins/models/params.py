"""Parameters of the models. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from sparsebench.core.sizes import Shape
from sparsebench.errors import SuiteError
from sparsebench.registry import OfKind


@dataclass(frozen=True)
class LayeredParams:
    """hidden  neurons of each hidden layer, in order
    dropout  the share of hidden outputs set to 0 in training
    init     values of the connections; biases start at 0
    """

    hidden: tuple[Annotated[int, Field(gt=0)], ...]
    activation: Annotated[Any, OfKind("activation")] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init: Annotated[Any, OfKind("initializer")] = "he-uniform"

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        sizes = [features, *self.hidden, outputs]
        return [(K, D) for D, K in pairwise(sizes)]


@dataclass(frozen=True)
class MlpParams(LayeredParams):
    """loss  short for that of the objective where it is classification"""

    loss: Annotated[Any, OfKind("loss")] | None = "cross-entropy"


@dataclass(frozen=True)
class AutoencoderParams(LayeredParams):
    """hidden  neurons of the encoder's layers, mirrored by the decoder: [500, 100] makes
            n-500-100-500-n
    output  activation of the last layer
    """

    activation: Annotated[Any, OfKind("activation")] = "sigmoid"
    output: Annotated[Any, OfKind("activation")] = "identity"

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        if outputs != features:
            raise SuiteError(
                f"model: an autoencoder gives back its {features} inputs, and the objective wants "
                f'{outputs} outputs; set objective = "reconstruction"'
            )
        sizes = [features, *self.hidden, *self.hidden[-2::-1], features]
        return [(K, D) for D, K in pairwise(sizes)]
