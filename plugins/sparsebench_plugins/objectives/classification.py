"""The objective `classification`: each sample belongs to one of several classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sparsebench.core.arrays import Array, Labels, Matrix
from sparsebench.core.data.samples import Inputs, TargetData, TargetKind
from sparsebench.core.protocols import Loss
from sparsebench.errors import DataError, SuiteError
from sparsebench_plugins.losses import CrossEntropy
from sparsebench_plugins.objectives.params import ClassificationParams
from sparsebench_plugins.objectives.scores import Accuracy


class Classification(ClassificationParams):
    """Labels are integers or strings. The classes are those in the training part, sorted."""

    def loss_with(self, of_model: Loss | None) -> Loss:
        loss: Loss = self.loss or of_model or CrossEntropy()
        if loss.targets != "labels":
            raise SuiteError(
                f"objective: {type(loss).__name__} does not compare with labels; expected a loss "
                "of labels: cross-entropy or mse"
            )
        return loss

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        if kind is not None and kind != "labels":
            raise DataError(f"{where} has {kind} as targets, not labels: {_HINTS[kind]}")
        if y.ndim != 1:
            raise DataError(
                f"{where} has shape {y.shape}; expected one axis, a label per sample: for one-hot "
                'labels save y.argmax(axis=1), for several targets set objective = "dense-output"'
            )
        if y.dtype.kind not in "biufUS":
            raise DataError(f"{where} has dtype {y.dtype}; expected integers or strings")
        if y.dtype.kind == "f":
            odd = np.flatnonzero(~np.isfinite(y) | (np.floor(y) != y))
            if odd.size:
                raise DataError(
                    f"{where} has {y[odd[0]]} at row {odd[0]}; expected classes, which are "
                    f"integers or strings: {_HINTS['numbers']}"
                )

    def fit(self, data: TargetData) -> Classes:
        if data.outputs is not None:
            return Classes(data.outputs)
        known = np.unique(data.y)
        if known.size < 2:
            raise DataError(
                f"{data.source}: {known.size} class in the training labels ({known[0]}); "
                "expected at least 2"
            )
        return Classes(known.size, known)

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Classes:
        return Classes(outputs, arrays.get("names"))


_HINTS = {
    "numbers": 'to learn numbers, set objective = "regression"',
    "vectors": 'to learn several numbers, set objective = "dense-output"',
    "flags": "to learn several labels each, set objective = "
    '{ name = "dense-output", loss = "binary-cross-entropy" }',
}


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a data set.

    names  (outputs,) the labels as loaded, sorted; None: they are 0, 1, ...
    """

    outputs: int
    names: Array | None = None

    def encode(self, y: Array, where: str) -> Labels:
        """Labels as 0, 1, ... Raises DataError if a label is not among the known ones."""
        if self.names is None:
            if y.size and (y.min() < 0 or y.max() >= self.outputs):
                place, _, part = where.partition(": ")
                raise DataError(
                    f"{place}: labels of {part} are {y.min()}..{y.max()}; "
                    f"expected 0..{self.outputs - 1} for {self.outputs} classes"
                )
            return y.astype(np.int64, copy=False)
        source, _, part = where.rpartition(": ")
        text, known = (array.dtype.kind in "US" for array in (y, self.names))
        if text != known:
            raise DataError(
                f"{source}: labels are {self.names.dtype} in the train part and {y.dtype} in the "
                f"{part}; expected the same kind"
            )
        codes = np.searchsorted(self.names, y).clip(max=self.outputs - 1).astype(np.int64)
        unseen = np.flatnonzero(self.names[codes] != y)
        if unseen.size:
            raise DataError(
                f"{source}: label {y[unseen[0]]} at row {unseen[0]} of the {part} is not among "
                f"the {self.outputs} labels of the train part; expected every class in training"
            )
        return codes

    def predict(self, Z: Matrix) -> Array:
        best = Z.argmax(axis=0)
        labels: Array = best if self.names is None else self.names[best]
        return labels

    def constant(self, T: Labels) -> Matrix:
        """(outputs, 1) outputs that predict the most frequent class."""
        most = np.bincount(T, minlength=self.outputs).argmax()
        outputs: Matrix = (np.arange(self.outputs) == most).astype(np.float32)[:, None]
        return outputs

    def score(self) -> Accuracy:
        return Accuracy()

    def arrays(self) -> dict[str, Array]:
        return {} if self.names is None else {"names": self.names}
