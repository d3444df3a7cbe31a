"""Parameters of the models. Free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from sparsebench.core.sizes import (
    FLOAT,
    NetworkSize,
    Shape,
    SizedActivation,
    SizedBackend,
    UnitSize,
)
from sparsebench.errors import SuiteError
from sparsebench.registry import OfKind

DROPPING = 12
"""Bytes an output, at most, while numpy makes dropout's bits."""


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

    def linear(self) -> bool | None:
        return self._unit(0).linear if isinstance(self.activation, SizedActivation) else None

    def activations(self, network: NetworkSize, backend: SizedBackend) -> int:
        """Outputs of each layer for the largest batch, two gradients of the widest hidden one,
        and what the units keep."""
        each = backend.between() if network.fused else FLOAT
        N = network.widest_batch
        most = max(N, network.tested)
        *hidden, last = [layer.shape[0] for layer in network.layers]
        outputs = most * (each * sum(hidden) + FLOAT * last)
        gradients = each * N * max(hidden, default=0) * min(2, len(hidden))
        if network.fused:
            return outputs + gradients + sum(backend.bits(K, N) for K in hidden)
        unit = self._unit(network.rule.slots)
        kept = unit.per_neuron + unit.per_output * network.batches[-1]
        return outputs + gradients + kept * sum(hidden)

    def working(self, network: NetworkSize, backend: SizedBackend) -> int:
        """What numpy's units make and throw away."""
        if network.fused:
            return 0
        widest = max((layer.shape[0] for layer in network.layers[:-1]), default=0)
        unit = self._unit(network.rule.slots)
        dropping = DROPPING if self.dropout else 0
        return widest * network.widest_batch * (unit.temporary + dropping)

    def _unit(self, slots: int) -> UnitSize:
        assert isinstance(self.activation, SizedActivation)
        return self.activation.kept(slots)


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
