"""The protocols of components. The conformance kit in `sparsebench.testing` checks them.

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
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.data.samples import Inputs, ScaledRows, TargetData, TargetKind
    from sparsebench.core.metric import Metric
    from sparsebench.core.nn.buffers import Buffer
    from sparsebench.core.nn.dropout import Dropout
    from sparsebench.core.sparse.csr import Change, CsrMatrix, CsrPattern

    Target = npt.NDArray[Any]
    """Targets of a batch: labels (N,), or numbers (K, N), a row per output."""

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
        """Copy these values into W, (nnz,) in csr order, and into b, (K,).

        The optimizer's state does not change.
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
        """Yield the arrays that the next step depends on, apart from weights and bias.

        Each is O(nnz) and may share memory with the layer. To restore a layer, the backend makes a
        new one from the saved weights and bias, and then calls its `restore` with these arrays.
        """

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Continue bit for bit as the layer would have whose `saved` gave these."""


class ThroughLayer(Layer, Protocol):
    """A layer that applies its backend's activation units while it writes its output. Optional.

    below  the unit that made X
    unit   the unit that follows this layer

    Either is None where there is no unit; the array there is plain float32. Between two layers,
    the backend chooses the array's type and layout.
    """

    def forward_through(self, X: Matrix, below: Any, A: Matrix, unit: Any, t: int | None) -> None:
        """A = unit(W X + b).  t is the training step, None in evaluation."""

    def backward_through(
        self, X: Matrix, below: Any, DZ: Matrix, unit: Any, DX: Matrix | None,
        rate: float | None, t: int,
    ) -> None:  # fmt: skip
        """`backward`, and with a rate the step; DX comes out as DZ of the layer below."""


@runtime_checkable
class TakesCsr(Protocol):
    """A layer whose passes also take a `CsrBatch` as X, with DX None. Optional.

    The first layer of a network gets csr inputs as they are where `takes_csr` is True; for any
    other layer the network makes each batch dense.
    """

    @property
    def takes_csr(self) -> bool: ...


@runtime_checkable
class ScalesState(Protocol):
    """A layer whose optimizer state a topology method can change. Optional."""

    def scale_state(self, factor: float) -> None:
        """Multiply every state array of the weights by this; those of the bias stay."""


class Backend(Protocol):
    """Makes layers. `truly_sparse` says that memory and work are O(nnz) in every step.

    A backend may also define:
    unit(negative_slope, dropout) -> Unit  its own unit for piecewise linear activations; without
                      it the network uses the numpy one
    activation_dtype  type of the arrays between two `ThroughLayer`s; float32 by default
    """

    @property
    def truly_sparse(self) -> bool: ...

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> Layer: ...


class CompiledStep(Protocol):
    """The whole step of one network as one compiled call: forward, loss, backward and update.

    It works on the arrays of the network's layers and units, which may change between two calls.
    A call returns None where its inputs have to go layer by layer.
    """

    def train_step(self, X: Matrix, T: Target, rate: float, t: int) -> float | None:
        """As `Network.train_step`."""

    def train_steps(
        self, source: ScaledRows, targets: Array | None, rows: Rows, target_rows: Rows, N: int,
        rates: Sequence[float], t: int,
    ) -> npt.NDArray[np.float64] | None:  # fmt: skip
        """As `TrainsManySteps.train_steps`."""

    def outputs(self, X: Matrix) -> Matrix | None:
        """As `Network.outputs`."""

    def prepare(self, N: int, widest: int, connections: int, source: ScaledRows | None) -> None:
        """As `TrainsManySteps.prepare`."""

    def stored_bytes(self) -> dict[str, int]:
        """Bytes by purpose, beside those of the layers."""


@runtime_checkable
class MakesCompiledStep(Protocol):
    """A backend that can compile the step of a whole network. Optional."""

    def compiled_step(
        self,
        layers: Sequence[Layer],
        units: Sequence[Unit],
        loss: Loss,
        optimizer: Optimizer,
        activations: Sequence[Buffer],
    ) -> CompiledStep | None:
        """None where it does not know one of the parts.

        activations  memory for each layer's outputs
        """


@runtime_checkable
class TrainsManySteps(Protocol):
    """A network that can make several steps in one call. Optional."""

    def train_steps(
        self, source: ScaledRows, targets: Array | None, rows: Rows, target_rows: Rows, N: int,
        rates: Sequence[float], t: int,
    ) -> npt.NDArray[np.float64] | None:  # fmt: skip
        """Make steps t, t + 1, ..., one for each learning rate, on N samples each.

        rows, target_rows  (steps N,) of the inputs and of the targets, step after step
        targets            labels (n,) or numbers (n, K); None: the inputs are the targets
        Returns each step's loss before its update, up to the first that is not finite; None if
        such steps have to be made one by one.
        """

    def prepare(
        self, N: int, widest: int, connections: int, source: ScaledRows | None = None
    ) -> bool:
        """Compile what a larger network of the same parts needs for N samples.

        widest  neurons or features of its widest array of activations
        source  rows of such a type, with as many features as this network has
        Returns whether that network makes its steps as one compiled call.
        """


class Unit(Protocol):
    """An activation, and the dropout behind it, at one layer of one network."""

    def forward(self, Z: Matrix, t: int | None) -> Matrix:
        """A = dropout(f(Z)); may overwrite Z. t is the training step, None in evaluation."""

    def backward(self, DA: Matrix) -> Matrix:
        """DZ from DA of the last training `forward`; may overwrite DA."""

    def step(self, optimizer: Optimizer, rate: float, t: int) -> None:
        """Update the unit's own trainable parameters, if it has any."""

    def parameters(self) -> dict[str, Vector]:
        """The trainable arrays themselves, not copies: writing into them changes the unit."""

    def gradients(self) -> dict[str, Vector]:
        """The gradients of `parameters` that `step` uses, likewise not copies."""

    def stored_bytes(self) -> int: ...

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield trainable parameters and optimizer state: all that the next step depends on."""

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
    """A loss of the last layer's pre-activations Z (K, N) and targets T, labels (N,) or (K, N)."""

    @property
    def targets(self) -> Literal["labels", "vectors", "flags"]:
        """The kind of T: labels (N,), numbers (K, N), or flags of 0 and 1 (K, N)."""

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
        """Update w and its state in place from the gradient g. Entries do not mix."""


@runtime_checkable
class HasMomentum(Protocol):
    """An optimizer that smooths the gradient."""

    def smoothed_gradient(self, state: Mapping[str, Vector]) -> Vector:
        """The smoothed gradient (nnz,), computed from the arrays of `Layer.state`.

        Each optimizer has its own sign and scale.
        """


class Network(Protocol):
    """A model with weights, which the training loop trains."""

    @property
    def layers(self) -> Sequence[Layer]: ...

    def train_step(self, X: Batch, T: Target, rate: float, t: int) -> float:
        """Forward, backward and update; the loss before the update."""

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
        """`step` with these gradients instead, in the order of `values`."""

    def outputs(self, X: Batch) -> Matrix:
        """Z of the last layer, (K, N), without dropout. Valid until the next call."""

    def loss(self, Z: Matrix, T: Target) -> float: ...

    def stored_bytes(self) -> dict[str, int]: ...

    def parameters(self) -> dict[str, Vector]:
        """Trained arrays other than weights and biases, by name."""

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Yield what the next step depends on, apart from the layers' weights and biases."""

    def restore(self, saved: Mapping[str, Array]) -> None:
        """Continue from what `saved` gave; the layers already have their weights and biases."""


@dataclass(frozen=True)
class LayerSignals:
    """A layer's inputs X (D, N) for one mini-batch, and DZ (K, N), the gradient of the mean loss
    with respect to its pre-activations. The first layer's X is a `CsrBatch` where the data are.

    A  (K, N) its outputs behind the activation; of the last layer what the loss takes
    """

    X: Batch
    DZ: Matrix
    A: Matrix | None = None


@runtime_checkable
class Observable(Protocol):
    """A network whose signals a topology method can read."""

    def observe(self, X: Batch, T: Target, t: int) -> tuple[float, list[LayerSignals]]:
        """One plain float32 pass at the current weights, with the dropout masks of step t.

        Nothing is updated and no random stream moves. Returns the loss and each layer's signals.
        """

    def activations(self, X: Batch, number: int) -> Matrix:
        """(K, N) behind a hidden layer, counted from 1, without dropout."""

    def input_gradients(self, X: Batch, t: int) -> Iterator[Matrix]:
        """Yield of each output its gradient (D, N) with respect to the inputs, with the dropout
        masks of step t."""

    def watch(self, after_backward: Callable[[int, Batch, Matrix, int], None]) -> None:
        """Train layer by layer on plain float32 arrays from now on.

        after_backward  called in each step t with a layer's index, X, DZ and t, before its update
        """


class Model(Protocol):
    """An architecture: the shapes of its layers, and the network made of such layers."""

    @property
    def initializer(self) -> Initializer: ...

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        """Raises SuiteError if the model cannot have this number of outputs."""

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
    """A model with a `loss` parameter, used if the objective does not set the loss. Optional."""

    @property
    def loss(self) -> Loss | None: ...


# --- the objective ------------------------------------------------------------------


class Objective(Protocol):
    """The loss, the targets and the scores of a task.

    scores      metrics by plain names such as "rmse"; the first is the primary one
    metrics     the columns that a record has of them: `metric.columns(scores)`
    stratified  whether parts are held out class by class
    """

    @property
    def scores(self) -> Sequence[Metric]: ...

    @property
    def metrics(self) -> Sequence[Metric]: ...

    @property
    def stratified(self) -> bool: ...

    def loss_with(self, of_model: Loss | None) -> Loss:
        """The loss to train with; `of_model` is the model's own, if it has one."""

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        """Raise DataError, one line that starts with `where`, if these cannot be the targets.

        y     a row per sample, as loaded from the data set
        kind  the kind that the data set declares; None: it declares none
        """

    def fit(self, data: TargetData) -> Targets:
        """Prepare the targets of this data set. Raises DataError."""

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Targets:
        """Rebuild targets from what `Targets.arrays` gave."""


class Targets(Protocol):
    """The targets of one data set, prepared by an objective."""

    @property
    def outputs(self) -> int:
        """Outputs of the network."""

    def encode(self, y: Array, where: str) -> Array | None:
        """Targets for loss and score, a row per row of y: int64 labels (n,) or float32
        (n, outputs). None: the inputs are the targets. Raises DataError."""

    def predict(self, Z: Matrix) -> Array:
        """Predictions, a row per sample, in the data's own units, from Z (K, N)."""

    def score(self) -> Score:
        """A new score for one pass over some samples."""

    def arrays(self) -> dict[str, Array]:
        """The arrays that a file of the trained network has to hold, by name."""


@runtime_checkable
class ConstantGuess(Protocol):
    """Targets that know the best answer that is the same for every sample; optional."""

    def constant(self, T: Array) -> Matrix:
        """The outputs (K, 1) that fit these targets best, encoded ones of the training part."""


class Score(Protocol):
    """An objective's scores, accumulated batch by batch."""

    def add(self, Z: Matrix, T: Target) -> None:
        """Add a batch. Z (K, N) is not changed."""

    def values(self) -> dict[str, float]:
        """Scores of all samples so far, by the names of `Objective.scores`."""


@runtime_checkable
class CorruptsInputs(Protocol):
    """An objective that changes the inputs in training. Optional."""

    def corruption(self, seed: int) -> Corruption | None: ...


class Corruption(Protocol):
    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        """A changed copy of the inputs X (D, N) of the training samples `rows`.

        The change depends on `rows`, the epoch and the seed only.
        """
