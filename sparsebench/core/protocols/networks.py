"""Networks, and the models that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array, Matrix, Vector
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.protocols.layers import Backend, Layer, Shape
    from sparsebench.core.protocols.training import Initializer, Loss, Optimizer, Target


class Network(Protocol):
    """A model with weights, which the training loop trains."""

    @property
    def layers(self) -> Sequence[Layer]: ...

    def train_step(self, X: Batch, T: Target, rate: float, t: int) -> float:
        """Forward, backward and update. Returns the loss before the update."""

    def compute_gradients(
        self, X: Batch, T: Target, t: int, ready: Callable[[int], None] | None = None
    ) -> float:
        """Run forward and backward without an update, for parallel trainers and checks.

        ready  called with a layer's index as soon as its gradients are complete, last layer first
        """

    def step(self, rate: float, t: int) -> None: ...

    def values(self) -> list[Vector]:
        """All trained arrays: each layer's weights, (nnz,) in csr order, and bias, then
        `parameters`. They may share memory with the network: read only."""

    def gradients(self) -> list[Vector]:
        """The gradients of `values`, in the same order, from the last `compute_gradients`."""

    def assign(self, values: Sequence[Vector]) -> None:
        """Copy the `values` of a network with the same connections; keep the optimizer state."""

    def step_by(self, gradients: Sequence[Vector], rate: float, t: int) -> None:
        """Update with the given gradients, in the order of `values`."""

    def outputs(self, X: Batch) -> Matrix:
        """Z of the last layer, (K, N), without dropout. Valid until the next call."""

    def loss(self, Z: Matrix, T: Target) -> float: ...

    def stored_bytes(self) -> dict[str, int]: ...

    def parameters(self) -> dict[str, Vector]:
        """Trained arrays other than weights and biases, by name."""

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield all arrays that the next step depends on, except the layers' weights and biases."""

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Restore the arrays of `saved`. The layers already have their weights and biases."""


@dataclass(frozen=True)
class LayerSignals:
    """A layer's inputs X (D, N) for one mini-batch, and DZ (K, N), the gradient of the mean loss
    with respect to its pre-activations. The first layer's X is a `CsrBatch` if the data are csr.

    A  (K, N) the layer's outputs after the activation; of the last layer, the inputs of the loss
    """

    X: Batch
    DZ: Matrix
    A: Matrix | None = None


@runtime_checkable
class Observable(Protocol):
    """A network whose signals a topology method can read."""

    def observe(self, X: Batch, T: Target, t: int) -> tuple[float, list[LayerSignals]]:
        """One plain float32 pass at the current weights, with the dropout masks of step t.

        Nothing is updated, and no random generator of the training advances. Returns the loss and
        each layer's signals.
        """

    def activations(self, X: Batch, number: int) -> Matrix:
        """(K, N) the activations of a hidden layer, counted from 1, without dropout."""

    def input_gradients(self, X: Batch, t: int) -> Iterator[Matrix]:
        """Yield for each output its gradient (D, N) with respect to the inputs, with the dropout
        masks of step t."""

    def watch(self, after_backward: Callable[[int, Batch, Matrix, int], None]) -> None:
        """Train layer by layer on plain float32 arrays from now on.

        after_backward  called in each step t with a layer's index, X, DZ and t, before the layer is
                        updated
        """


class Model(Protocol):
    """An architecture: the shapes of its layers, and how a network is built from such layers."""

    @property
    def initializer(self) -> Initializer: ...

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        """The shapes (K, D) of the layers. Raises SuiteError if the model cannot have this number
        of outputs."""

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> Network: ...


@runtime_checkable
class Compacts(Protocol):
    """A model that may remove dead hidden neurons (without inputs or outputs) during training.
    Models without this attribute never do."""

    @property
    def compact_every(self) -> int | None:
        """Number of epochs from one removal to the next; None: never."""


@runtime_checkable
class NamesLoss(Protocol):
    """A model with a `loss` parameter, which is used if the objective does not set the loss."""

    @property
    def loss(self) -> Loss | None: ...
