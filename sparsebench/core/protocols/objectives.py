"""Objectives: the targets and the loss of a task, and the scores of a network's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sparsebench.core.arrays import Array, Matrix, Rows
    from sparsebench.core.data.samples import Inputs, TargetData, TargetKind
    from sparsebench.core.metric import Metric
    from sparsebench.core.protocols.training import Loss, Target


class Objective(Protocol):
    """The loss, the targets and the scores of a task.

    scores      metrics with plain names such as "rmse"; the first is the primary one
    metrics     the columns of a record for these scores: `metric.columns(scores)`
    stratified  whether validation and test parts are held out class by class
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
        """Raise DataError if y cannot be the targets. The message is one line that starts with
        `where`.

        y     a row per sample, as loaded from the data set
        kind  the kind of target that the data set declares; None if it declares none
        """

    def fit(self, data: TargetData) -> Targets:
        """Prepare the targets of this data set. Raises DataError."""

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Targets:
        """Rebuild targets from the arrays of `Targets.arrays`."""


class Targets(Protocol):
    """The targets of one data set, prepared by an objective."""

    @property
    def outputs(self) -> int:
        """Outputs of the network."""

    def encode(self, y: Array, where: str) -> Array | None:
        """The targets that loss and score use, a row per row of y: int64 labels (n,), or float32
        (n, outputs); None if the inputs are the targets. Raises DataError."""

    def predict(self, Z: Matrix) -> Array:
        """The predictions for outputs Z (K, N): a row per sample, in the units of the data."""

    def score(self) -> Score:
        """A new score for one pass over some samples."""

    def arrays(self) -> dict[str, Array]:
        """The arrays by name that have to be stored with a trained network."""


class Score(Protocol):
    """An objective's scores, accumulated batch by batch."""

    def add(self, Z: Matrix, T: Target) -> None:
        """Add a batch. Z (K, N) is not changed."""

    def values(self) -> dict[str, float]:
        """The scores over all samples added so far, by the names in `Objective.scores`."""


@runtime_checkable
class ConstantGuess(Protocol):
    """Targets for which the best constant prediction is known; a record then has its scores as the
    level of chance."""

    def constant(self, T: Array) -> Matrix:
        """The constant outputs (K, 1) that fit these encoded targets of the training part best."""


@runtime_checkable
class CorruptsInputs(Protocol):
    """An objective that may corrupt the inputs during training, such as with noise."""

    def corruption(self, seed: int) -> Corruption | None: ...


class Corruption(Protocol):
    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        """A corrupted copy of the inputs X (D, N) of the training samples `rows`.

        The corruption depends only on `rows`, the epoch and the seed.
        """
