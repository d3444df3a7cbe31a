"""Models: networks made of a backend's layers in sequence. Free of heavy imports: building a
network imports numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from sparsebench.core.metric import OF_COMPACTION, Metric
from sparsebench.core.protocols import (
    Backend,
    Initializer,
    Layer,
    Loss,
    MakesCompiledStep,
    Optimizer,
    Unit,
)
from sparsebench.core.sizes import Shape
from sparsebench.errors import SuiteError
from sparsebench.registry import OfKind, OmittedIfDefault

if TYPE_CHECKING:
    from sparsebench.core.nn.network import LayeredNetwork
    from sparsebench_plugins.boltzmann import BoltzmannNetwork


@dataclass(frozen=True)
class Layered:
    """Hidden layers with an activation and dropout, followed by the output layer.

    hidden      number of neurons of each hidden layer, in order
    activation  activation of the hidden layers
    dropout     share of hidden outputs set to 0 in training
    init        values of the connections at the start; biases start at 0
    compact_every  number of epochs between two removals of dead hidden neurons; none: they are not
                removed

    A hidden neuron is dead if it has no inputs or no outputs. Removing dead neurons makes layers
    smaller and training faster. The network computes the same, apart from dropout, but removed
    neurons can never grow connections again.
    """

    hidden: tuple[Annotated[int, Interval(gt=0)], ...]
    activation: Annotated[Any, OfKind("activation")] = "relu"
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    init: Annotated[Any, OfKind("initializer")] = "he-uniform"
    compact_every: Annotated[Annotated[int, Interval(gt=0)] | None, OmittedIfDefault()] = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return OF_COMPACTION if self.compact_every is not None else ()

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.init
        return initializer

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        return [(K, D) for D, K in pairwise([features, *self.hidden, outputs])]

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> LayeredNetwork:
        """Build the network. Raises SuiteError if the backend's activations are not float32 and it
        has no kernel for this activation."""
        import numpy as np

        from sparsebench.core.nn.dropout import Dropout
        from sparsebench.core.nn.network import LayeredNetwork

        numbers = range(1, len(layers))
        slopes = [self.activation.negative_slope(number) for number in numbers]
        dropouts = [Dropout.of_layer(self.dropout, seed, number) for number in numbers]
        outputs = (layers[-1].shape[0], len(layers))

        def plain_units() -> list[Unit]:
            hidden = [
                self.activation.unit(number, layer.shape[0], dropout)
                for number, layer, dropout in zip(numbers, layers[:-1], dropouts, strict=True)
            ]
            return hidden + self.output_unit(*outputs)

        own_unit = getattr(backend, "unit", None)
        through, dtype = False, np.dtype(np.float32)
        if own_unit is not None and None not in slopes:
            units: list[Unit] = [own_unit(*each) for each in zip(slopes, dropouts, strict=True)]
            units += self.output_unit(*outputs)
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
        network = LayeredNetwork(layers, units, loss, optimizer, dtype, through, plain_units)
        if isinstance(backend, MakesCompiledStep):
            network.compile_with(backend)
        return network

    def output_unit(self, outputs: int, number: int) -> list[Unit]:
        """The unit after the last layer, in a list; empty if there is none."""
        return []


@dataclass(frozen=True)
class MLP(Layered):
    """A multilayer perceptron with the objective's number of outputs.

    loss  a shorthand for objective.loss if the objective is classification
    """

    loss: Annotated[Any, OfKind("loss")] | None = "cross-entropy"


@dataclass(frozen=True)
class Autoencoder(Layered):
    """An encoder followed by its mirror image. n-1000-n with sigmoid units and linear outputs is
    the autoencoder of QuickSelection (Atashgahi et al. 2022, arXiv 2012.00560).

    hidden  neurons of the encoder's layers, mirrored by the decoder: [500, 100] makes
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

    def output_unit(self, outputs: int, number: int) -> list[Unit]:
        """The unit after the last layer, in a list; empty if the outputs are linear."""
        if self.output.negative_slope(number) == 1:
            return []
        return [self.output.unit(number, outputs, None)]


@dataclass(frozen=True)
class Rbm:
    """A restricted Boltzmann machine of binary hidden units, trained by contrastive divergence.

    hidden  the number of hidden units, as a list of one
    init    values of the connections at the start; biases start at 0
    gibbs   steps of the chain, the k of CD-k

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, SET-RBM. Inputs are from 0 to 1. As in the
    released code, hidden units are drawn and visible units are means. `test_mse` is the error after
    one step from the data.
    """

    hidden: tuple[Annotated[int, Interval(gt=0)], ...]
    init: Annotated[Any, OfKind("initializer")] = "normal"
    gibbs: Annotated[int, Interval(gt=0)] = 1

    def __post_init__(self) -> None:
        if len(self.hidden) != 1:
            raise ValueError(f"hidden must be one number in a list, found {len(self.hidden)}")

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.init
        return initializer

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        if outputs != features:
            raise SuiteError(
                f"model: a Boltzmann machine gives back its {features} inputs, and the objective "
                f'wants {outputs} outputs; set objective = "reconstruction"'
            )
        return [(self.hidden[0], features)]

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> BoltzmannNetwork:
        from sparsebench_plugins.boltzmann import BoltzmannNetwork

        (layer,) = layers
        return BoltzmannNetwork(layer, optimizer, seed, loss, self.gibbs)
