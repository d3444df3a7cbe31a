"""The multilayer perceptron over a backend's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.protocols import (
    Backend,
    Initializer,
    Layer,
    Optimizer,
    Unit,
)
from sparsebench.errors import SuiteError
from sparsebench_plugins.models.params import MlpParams

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class MLP(MlpParams):
    """Hidden layers with an activation and dropout, then an output per class."""

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.init
        return initializer

    def network(
        self, layers: Sequence[Layer], backend: Backend, optimizer: Optimizer, seed: int
    ) -> LayeredNetwork:
        """Raises SuiteError where the backend's activations are not float32 and it cannot apply
        this activation itself."""
        numbers = range(1, len(layers))
        slopes = [self.activation.negative_slope(number) for number in numbers]
        dropouts = [Dropout.of_layer(self.dropout, seed, number) for number in numbers]

        def plain_units() -> list[Unit]:
            return [
                self.activation.unit(number, layer.shape[0], dropout)
                for number, layer, dropout in zip(numbers, layers[:-1], dropouts, strict=True)
            ]

        its_own = getattr(backend, "unit", None)
        through, dtype = False, np.dtype(np.float32)
        if its_own is not None and None not in slopes:
            units: list[Unit] = [its_own(*given) for given in zip(slopes, dropouts, strict=True)]
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
        return LayeredNetwork(layers, units, self.loss, optimizer, dtype, through, plain_units)
