"""Steps of a whole network as one compiled call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Array, Matrix, Rows
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.data.samples import RowSource
    from sparsebench.core.nn.buffers import Buffer
    from sparsebench.core.protocols.layers import Layer
    from sparsebench.core.protocols.training import Loss, Optimizer, Target, Unit


class CompiledStep(Protocol):
    """The whole step of one network as one compiled call: forward, loss, backward and update.

    It works on the arrays of the network's layers and units, which may change between two calls.
    Methods that return None leave it to the caller to process the inputs layer by layer.
    """

    def train_step(self, X: Batch, T: Target, rate: float, t: int) -> float | None:
        """As `Network.train_step`, or None."""

    def train_steps(
        self, source: RowSource, targets: Array | None, rows: Rows, target_rows: Rows, N: int,
        rates: Sequence[float], t: int,
    ) -> npt.NDArray[np.float64] | None:  # fmt: skip
        """As `TrainsManySteps.train_steps`."""

    def outputs(self, X: Batch) -> Matrix | None:
        """As `Network.outputs`, or None."""

    def prepare(self, N: int, widest: int, connections: int, source: RowSource | None) -> None:
        """As `TrainsManySteps.prepare`, without a result."""

    def take_seconds(self) -> dict[str, float]:
        """As `TrainsManySteps.take_seconds`."""

    def stored_bytes(self) -> dict[str, int]:
        """Bytes by purpose of the arrays that it keeps besides those of the layers."""


@runtime_checkable
class MakesCompiledStep(Protocol):
    """A backend that can compile the step of a whole network. The networks of other backends are
    trained layer by layer."""

    def compiled_step(
        self,
        layers: Sequence[Layer],
        units: Sequence[Unit],
        loss: Loss,
        optimizer: Optimizer,
        activations: Sequence[Buffer],
    ) -> CompiledStep | None:
        """The compiled step of this network; None if the backend has no kernel for one of the
        parts.

        activations  memory for each layer's outputs
        """


@runtime_checkable
class TrainsManySteps(Protocol):
    """A network that can make several steps in one call. Other networks make one step per call."""

    def train_steps(
        self, source: RowSource, targets: Array | None, rows: Rows, target_rows: Rows, N: int,
        rates: Sequence[float], t: int,
    ) -> npt.NDArray[np.float64] | None:  # fmt: skip
        """Make steps t, t + 1, ..., one for each learning rate, on N samples each.

        rows, target_rows  (steps N,) row numbers of the inputs and of the targets, step after step
        targets            labels (n,) or numbers (n, K); None: the inputs are the targets

        Returns each step's loss before its update, up to the first that is not finite; None if
        these steps have to be made one by one.
        """

    def prepare(
        self, N: int, widest: int, connections: int, source: RowSource | None = None
    ) -> bool:
        """Compile the code that a larger network of the same parts needs for N samples.

        widest       the larger network's most neurons or features in an array of activations
        connections  the larger network's number of connections
        source       rows of the type that it will read, with this network's number of features;
                     None: it gets batches instead

        Returns whether the larger network makes its steps as one compiled call.
        """

    def take_seconds(self) -> dict[str, float]:
        """The seconds spent in the parts of compiled steps since the last call: "gather",
        "forward", "backward" and "update". Empty without compiled steps."""
