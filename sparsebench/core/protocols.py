"""What a component must do to take part. One page; the kit in `sparsebench.testing` checks it.

Letters: N batch, D inputs, K outputs of a layer. W is (K, D); activations are
neuron-major, (D, N), so that a neuron's batch is contiguous. float32 throughout.

A component is a frozen dataclass of its hyperparameters: it can be printed, hashed and
recorded. State lives in what it makes (a Layer, a Unit, a Network), or is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Array, Matrix, Rows, Vector
    from sparsebench.core.data.samples import Inputs, TargetData, TargetKind
    from sparsebench.core.metric import Metric
    from sparsebench.core.nn.dropout import Dropout
    from sparsebench.core.sparse.csr import Change, CsrMatrix, CsrPattern

    Target = npt.NDArray[Any]
    """Of a batch: labels (N,), or numbers (K, N), a row per output."""

Shape = tuple[int, int]
"""(K, D) of a layer."""


# --- the network ---------------------------------------------------------------------


class Layer(Protocol):
    """Z = W X + b with the optimizer state of W and b. Made by a backend."""

    @property
    def shape(self) -> Shape: ...

    @property
    def nnz(self) -> int: ...

    def forward(self, X: Matrix, Z: Matrix) -> None:
        """Z = W X + b.  X (D, N), Z (K, N) overwritten."""

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        """Keep DW = DZ X^T on the pattern and Db = DZ 1; DX = W^T DZ unless None."""

    def gradients(self) -> tuple[Vector, Vector]:
        """DW (nnz,) in csr order and Db (K,) of the last `backward`."""

    def step(self, rate: float, t: int) -> None:
        """Update W and b with the kept gradients. t counts steps from 1."""

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        """`step` with these gradients instead, DW (nnz,) in csr order and Db (K,)."""

    def assign(self, data: Vector, bias: Vector) -> None:
        """Take over these values of W, (nnz,) in csr order, and of b, (K,).

        The optimizer's state stays. Copies: the arrays are the caller's.
        """

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        """`backward` then `step`, in one pass where the backend can. DX uses W before."""

    def weights(self) -> CsrMatrix:
        """The weights, canonical. May share memory with the layer: read only."""

    def bias(self) -> Vector: ...

    def state(self) -> dict[str, Vector]:
        """The optimizer's arrays of the weights, (nnz,) each, in csr order, by slot name."""

    def apply_change(self, change: Change) -> None:
        """Apply a change of topology; state follows its connections, grown ones start at 0."""

    def stored_bytes(self) -> dict[str, int]:
        """Bytes of every array that outlives a step, by purpose."""

    def saved(self) -> Iterator[tuple[str, Array]]:
        """What the next step depends on beside `weights` and `bias`, an array at a time.

        Each may share memory with the layer, and is O(nnz). Weights and bias come from
        elsewhere: a layer is made anew from them before it is given these back.
        """

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Go on as the layer would have that `saved` these: bit for bit."""


class ThroughLayer(Layer, Protocol):
    """A layer that applies its backend's units while it writes. Optional.

    `below` made X, `unit` comes behind this layer; None: no unit, and a plain float32 array
    beyond. Between two layers the array's type and layout are the backend's own.
    """

    def forward_through(self, X: Matrix, below: Any, A: Matrix, unit: Any, t: int | None) -> None:
        """A = unit(W X + b).  t is the training step, None in evaluation."""

    def backward_through(
        self, X: Matrix, below: Any, DZ: Matrix, unit: Any, DX: Matrix | None,
        rate: float | None, t: int,
    ) -> None:  # fmt: skip
        """`backward`, and with a rate the step; DX comes out as DZ of the layer below."""


class Backend(Protocol):
    """A provider of layers. `truly_sparse`: memory and work are O(nnz) in every step.

    Two things a backend may define beside:
    unit(negative_slope, dropout) -> Unit  for activations that are piecewise linear; without
                      it the network uses the numpy one
    activation_dtype  of arrays between two `ThroughLayer`s, float32 unless told
    """

    @property
    def truly_sparse(self) -> bool: ...

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> Layer: ...


class Unit(Protocol):
    """An activation, and the dropout behind it, at one layer of one network."""

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        """A = dropout(f(Z)); may overwrite Z. t is the training step, None in evaluation."""

    def backward(self, DA: Matrix) -> Matrix:
        """DZ from DA of the last training `forward`; may overwrite DA."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Update the unit's own trainable parameters, if it has any."""

    def parameters(self) -> dict[str, Vector]:
        """The arrays themselves: what is written into them counts."""

    def gradients(self) -> dict[str, Vector]:
        """Of `parameters`; what `step` uses, likewise the arrays themselves."""

    def stored_bytes(self) -> int: ...

    def saved(self) -> Iterator[tuple[str, Array]]:
        """What the next step depends on: trainable parameters, and the optimizer's state."""

    def restore(self, saved: Mapping[str, Array]) -> None: ...


class Activation(Protocol):
    """A nonlinearity. `layer` counts hidden layers from 1."""

    def unit(self, layer: int, size: int, dropout: Dropout | None) -> Unit: ...

    def negative_slope(self, layer: int) -> float | None:
        """s if f(z) = z for z >= 0 and s z below, so that backends may fuse it; else None."""


class Initializer(Protocol):
    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        """Values of `count` new connections of a layer with this pattern (shape, fan-in)."""


class Loss(Protocol):
    """From the last layer's pre-activations Z (K, N) and targets T: labels (N,), or (K, N)."""

    @property
    def targets(self) -> Literal["labels", "vectors", "flags"]:
        """What T is: labels (N,), numbers (K, N), or 0 and 1 (K, N)."""

    def value(self, Z: Matrix, T: Target) -> float:
        """Mean over the batch."""

    def value_and_gradient(self, Z: Matrix, T: Target) -> tuple[float, Matrix]:
        """The value, and DZ (K, N) of that mean; may overwrite Z, but not T."""


@runtime_checkable
class WeightedLoss(Loss, Protocol):
    """A loss whose samples may count differently. Optional."""

    def value(self, Z: Matrix, T: Target, weights: Vector | None = None) -> float:
        """sum_n w_n l_n / sum_n w_n with weights w (N,), none negative; the mean without."""

    def value_and_gradient(
        self, Z: Matrix, T: Target, weights: Vector | None = None
    ) -> tuple[float, Matrix]: ...


class Schedule(Protocol):
    def factor(self, t: int, steps: int, steps_per_epoch: int) -> float:
        """What the learning rate is multiplied by at step t = 1..steps."""


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
        """Update w and its state in place from the gradient g. Entries do not mix."""


@runtime_checkable
class HasMomentum(Protocol):
    """An optimizer that smooths the gradient."""

    def smoothed_gradient(self, state: Mapping[str, Vector]) -> Vector:
        """(nnz,) the smoothed gradient, from the arrays of `Layer.state`. Its sign and scale are
        the optimizer's own."""


class Network(Protocol):
    """A model with weights: what the training loop drives."""

    @property
    def layers(self) -> Sequence[Layer]: ...

    def train_step(self, X: Matrix, T: Target, rate: float, t: int) -> float:
        """Forward, backward and update; the loss before the update."""

    def compute_gradients(
        self, X: Matrix, T: Target, t: int, ready: Callable[[int], None] | None = None
    ) -> float:
        """Forward and backward only; `step` updates. For parallel trainers and checks.

        ready  called with the index of a layer as soon as its gradients are there, last one first
        """

    def step(self, rate: float, t: int) -> None: ...

    def values(self) -> list[Vector]:
        """All that is trained: of each layer the weights, (nnz,) in csr order, and the bias;
        then `parameters`. May share memory with the network: read only."""

    def gradients(self) -> list[Vector]:
        """Of `values`, in the same order, from the last `compute_gradients`."""

    def assign(self, values: Sequence[Vector]) -> None:
        """Take over `values` of a network with the same connections; optimizer state stays."""

    def step_by(self, gradients: Sequence[Vector], rate: float, t: int) -> None:
        """`step` with these gradients instead, in the order of `values`."""

    def outputs(self, X: Matrix) -> Matrix:
        """Z of the last layer, (K, N), without dropout. Valid until the next call."""

    def loss(self, Z: Matrix, T: Target) -> float: ...

    def stored_bytes(self) -> dict[str, int]: ...

    def parameters(self) -> dict[str, Vector]:
        """What is trained beside weights and biases, by name."""

    def saved(self) -> Iterator[tuple[str, Array]]:
        """What the next step depends on, but for weights and biases of the layers."""

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Go on from what `saved` gave; the layers have their weights and biases already."""


@dataclass(frozen=True)
class LayerSignals:
    """Of one layer, for one mini-batch: inputs X (D, N), and DZ (K, N), the gradient of the mean
    loss for its pre-activations."""

    X: Matrix
    DZ: Matrix


@runtime_checkable
class Observable(Protocol):
    """A network that a topology method can look into."""

    def observe(self, X: Matrix, T: Target, t: int) -> tuple[float, list[LayerSignals]]:
        """One plain float32 pass at the current weights, with the dropout masks of step t.

        Nothing is updated and no random stream moves. Returns the loss and each layer's signals.
        """

    def watch(self, after_backward: Callable[[int, Matrix, Matrix, int], None]) -> None:
        """From now on train layer by layer on plain float32 arrays.

        after_backward  called in each step t with a layer's index, X, DZ and t, before its update
        """


class Model(Protocol):
    """The architecture: shapes of its layers, and a network made of layers of these shapes."""

    @property
    def initializer(self) -> Initializer: ...

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        """Raises SuiteError for a number of outputs that it cannot have."""

    def network(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        optimizer: Optimizer,
        seed: int,
        loss: Loss,
    ) -> Network: ...


@runtime_checkable
class NamesLoss(Protocol):
    """A model with a `loss` parameter: taken where the objective leaves the loss open. Optional."""

    @property
    def loss(self) -> Loss | None: ...


# --- what is learnt ------------------------------------------------------------------


class Objective(Protocol):
    """What is learnt: the loss, the targets, and how it is scored.

    scores      by plain names such as "rmse"; the first is the primary one
    metrics     what a record has of them: `metric.columns(scores)`
    stratified  whether parts are held out class by class
    """

    @property
    def scores(self) -> Sequence[Metric]: ...

    @property
    def metrics(self) -> Sequence[Metric]: ...

    @property
    def stratified(self) -> bool: ...

    def loss_with(self, of_model: Loss | None) -> Loss:
        """The loss to train with; `of_model` is the one that the model names, if it names one."""

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        """Raise DataError, one line that starts with `where`, if these cannot be the targets.

        y     a row per sample, as the data set has them
        kind  what the data set says that they are; None: it does not say
        """

    def fit(self, data: TargetData) -> Targets:
        """Targets as this data set needs them. Raises DataError."""

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Targets:
        """Targets again from what `Targets.arrays` gave."""


class Targets(Protocol):
    """What an objective makes of the targets of one data set."""

    @property
    def outputs(self) -> int:
        """Of the network."""

    def encode(self, y: Array, where: str) -> Array | None:
        """What loss and score compare with, for each row of y: int64 labels (n,), or float32
        (n, outputs); None: the inputs themselves. Raises DataError."""

    def predict(self, Z: Matrix) -> Array:
        """Predictions, a row per sample, in the data's own units, from Z (K, N)."""

    def score(self) -> Score:
        """A new one, for one pass over some samples."""

    def arrays(self) -> dict[str, Array]:
        """What a file of the trained network has to hold, by name."""


class Score(Protocol):
    """What an objective scores, added up batch by batch."""

    def add(self, Z: Matrix, T: Target) -> None:
        """Z (K, N) is left as it is."""

    def values(self) -> dict[str, float]:
        """Of all samples so far, by the names of `Objective.scores`."""


@runtime_checkable
class CorruptsInputs(Protocol):
    """An objective that changes the inputs in training. Optional."""

    def corruption(self, seed: int) -> Corruption | None: ...


class Corruption(Protocol):
    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        """A changed copy of the inputs X (D, N): the training samples `rows` in this epoch. Only
        these two and the seed decide the change."""
