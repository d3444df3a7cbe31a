"""Networks of a backend's layers, one behind the other: mlp and autoencoder share them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.protocols import (
    Backend,
    Initializer,
    Layer,
    Loss,
    Optimizer,
    Unit,
)
from sparsebench.errors import SuiteError
from sparsebench_plugins.models.params import AutoencoderParams, LayeredParams, MlpParams


class Layered(LayeredParams):
    """Hidden layers with an activation and dropout, then the outputs."""

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.init
        return initializer

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> LayeredNetwork:
        """Raises SuiteError where the backend's activations are not float32 and it cannot apply
        this activation itself."""
        numbers = range(1, len(layers))
        slopes = [self.activation.negative_slope(number) for number in numbers]
        dropouts = [Dropout.of_layer(self.dropout, seed, number) for number in numbers]

        def plain_units() -> list[Unit]:
            hidden = [
                self.activation.unit(number, layer.shape[0], dropout)
                for number, layer, dropout in zip(numbers, layers[:-1], dropouts, strict=True)
            ]
            return hidden + self.behind(layers[-1].shape[0], len(layers))

        its_own = getattr(backend, "unit", None)
        through, dtype = False, np.dtype(np.float32)
        if its_own is not None and None not in slopes:
            units: list[Unit] = [its_own(*given) for given in zip(slopes, dropouts, strict=True)]
            units += self.behind(layers[-1].shape[0], len(layers))
            through = all(hasattr(layer, "forward_through") for layer in layers)
        else:
            units = plain_units()
        if through:
            dtype = np.dtype(getattr(backend, "activation_dtype", dtype))
        elif getattr(backend, "activation_dtype", dtype) != dtype:
            raise SuiteError(
                "backend.activations: this activation is not linear on both sides of zero, so "
                "the backend cannot apply it to anything but float32; set activations = 'float32'"
            )
        return LayeredNetwork(layers, units, loss, optimizer, dtype, through, plain_units)

    def behind(self, outputs: int, number: int) -> list[Unit]:
        """The unit behind the last layer, which has this number, if there is one."""
        return []


class MLP(MlpParams, Layered):
    """A multilayer perceptron with the objective's number of outputs."""


class Autoencoder(AutoencoderParams, Layered):
    """An encoder and its mirror image; n-1000-n with sigmoid and linear outputs is that of
    QuickSelection (Atashgahi et al. 2022, arXiv 2012.00560)."""

    def behind(self, outputs: int, number: int) -> list[Unit]:
        """Nothing where the outputs are linear."""
        if self.output.negative_slope(number) == 1:
            return []
        return [self.output.unit(number, outputs, None)]
