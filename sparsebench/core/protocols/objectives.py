"""Objectives: what a network is to learn, and how well it does."""

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


class Score(Protocol):
    """An objective's scores, accumulated batch by batch."""

    def add(self, Z: Matrix, T: Target) -> None:
        """Add a batch. Z (K, N) is not changed."""

    def values(self) -> dict[str, float]:
        """Scores of all samples so far, by the names of `Objective.scores`."""


@runtime_checkable
class ConstantGuess(Protocol):
    """Targets that know the best answer that is the same for every sample; optional."""

    def constant(self, T: Array) -> Matrix:
        """The outputs (K, 1) that fit these targets best, encoded ones of the training part."""


@runtime_checkable
class CorruptsInputs(Protocol):
    """An objective that changes the inputs in training. Optional."""

    def corruption(self, seed: int) -> Corruption | None: ...


class Corruption(Protocol):
    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        """A changed copy of the inputs X (D, N) of the training samples `rows`.

        The change depends on `rows`, the epoch and the seed only.
        """
