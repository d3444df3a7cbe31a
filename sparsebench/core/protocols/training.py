"""Protocols of activations, initializers, losses, learning rates and optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Array, Matrix, Vector
    from sparsebench.core.nn.dropout import Dropout
    from sparsebench.core.sparse.csr import CsrPattern

    Target = npt.NDArray[Any]
    """Targets of a batch: labels (N,), or numbers (K, N), a row per output."""


class Unit(Protocol):
    """An activation and the dropout after it, for one layer of one network."""

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        """A = dropout(f(Z)); may overwrite Z. t is the training step, None in evaluation."""

    def backward(self, DA: Matrix) -> Matrix:
        """DZ from DA of the last training `forward`; may overwrite DA."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Update the unit's own trainable parameters, if it has any."""

    def parameters(self) -> dict[str, Vector]:
        """The trainable arrays themselves, not copies: writing into them changes the unit."""

    def gradients(self) -> dict[str, Vector]:
        """The gradients of `parameters` that `step` uses: the arrays themselves, not copies."""

    def stored_bytes(self) -> int: ...

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield the arrays that the next step depends on: trainable parameters and optimizer
        state."""

    def restore(self, saved: Mapping[str, Array]) -> None: ...


class Activation(Protocol):
    """A nonlinearity. `layer` counts hidden layers from 1."""

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit: ...

    def negative_slope(self, layer: int) -> float | None:
        """The slope s if f(z) = z for z >= 0 and f(z) = s z for z < 0, so that backends may fuse
        the activation; else None."""


class Initializer(Protocol):
    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        """Draw weights for `count` new connections of a layer with this pattern, which determines
        shape and fan-in."""


class Loss(Protocol):
    """A loss of the last layer's pre-activations Z (K, N) and targets T, labels (N,) or (K, N)."""

    @property
    def targets(self) -> Literal["labels", "vectors", "flags"]:
        """The kind of T: labels (N,), numbers (K, N), or flags of 0 and 1 (K, N)."""

    def value(self, Z: Matrix, T: Target) -> float:
        """The mean loss over the batch."""

    def value_and_gradient(self, Z: Matrix, T: Target) -> tuple[float, Matrix]:
        """The mean loss, and its gradient DZ (K, N). May overwrite Z, but not T."""


@runtime_checkable
class WeightedLoss(Loss, Protocol):
    """A loss that supports sample weights. Without it, training with sample weights is
    unsupported."""

    def value(self, Z: Matrix, T: Target, weights: Vector | None = None) -> float:
        """sum_n w_n l_n / sum_n w_n for weights w (N,), none negative; the mean if `weights` is
        None."""

    def value_and_gradient(
        self, Z: Matrix, T: Target, weights: Vector | None = None
    ) -> tuple[float, Matrix]: ...


class Schedule(Protocol):
    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        """The factor of the learning rate at step t = 1..steps."""


class Optimizer(Protocol):
    """An update rule over flat or shaped arrays. `slots` names its state arrays."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def schedule(self) -> Schedule: ...

    @property
    def slots(self) -> tuple[str, ...]: ...

    def update(
        self,
        w: npt.NDArray[np.float32],
        g: npt.NDArray[np.float32],
        state: Sequence[npt.NDArray[np.float32]],
        rate: float,
        t: int,
        kind: Literal["weight", "bias"],
    ) -> None:
        """Update w and its state in place, at the learning rate `rate`, from the gradient g, which
        is not changed. Each entry is updated on its own. t counts steps from 1."""


@runtime_checkable
class HasMomentum(Protocol):
    """An optimizer that smooths the gradient."""

    def smoothed_gradient(self, state: Mapping[str, Vector]) -> Vector:
        """The smoothed gradient (nnz,), computed from the arrays of `Layer.state`.

        Each optimizer has its own sign and scale.
        """
