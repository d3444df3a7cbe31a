"""The objectives `regression` and `dense-output`: targets are one or several numbers per sample, or
several labels that are 0 or 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.data.samples import Inputs, TargetData, TargetKind
from sparsebench.core.metric import Metric
from sparsebench.core.protocols import Loss, Targets
from sparsebench.errors import DataError, SuiteError
from sparsebench_plugins.objectives.params import DenseOutputParams, RegressionParams
from sparsebench_plugins.objectives.scores import Errors, Labelling


class Regression(RegressionParams):
    """The target is one number per sample, standardised on the training part, and scored in its own
    units."""

    def loss_with(self, of_model: Loss | None) -> Loss:
        return loss_of_vectors(self.loss, "regression")

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        if kind in ("labels", "vectors", "flags"):
            hint = "classification" if kind == "labels" else "dense-output"
            raise DataError(
                f'{where} has {kind} as targets, not a number each: set objective = "{hint}"'
            )
        if y.ndim != 1 and y.shape[1:] != (1,):
            raise DataError(
                f"{where} has shape {y.shape}; expected a number per sample: for several, set "
                'objective = "dense-output"'
            )
        check_numbers(y, where)

    def fit(self, data: TargetData) -> Numbers:
        return Numbers.fitted(data, self.scores)

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Numbers:
        return Numbers(self.scores, arrays["target_mean"], arrays["target_scale"], flat=True)


class DenseOutput(DenseOutputParams):
    """The target is several numbers per sample, each standardised, or several labels that are 0 or
    1."""

    def loss_with(self, of_model: Loss | None) -> Loss:
        loss: Loss = self.loss
        return loss if loss.targets == "flags" else loss_of_vectors(loss, "dense-output")

    def check(self, y: Array, kind: TargetKind | None, where: str) -> None:
        if kind in ("labels", "numbers"):
            hint = "classification" if kind == "labels" else "regression"
            raise DataError(
                f"{where} has {kind} as targets, one per sample, not several: "
                f'set objective = "{hint}"'
            )
        if y.ndim != 2 or not y.shape[1]:
            raise DataError(
                f"{where} has shape {y.shape}; expected (samples, targets): for one target each, "
                'set objective = "regression" or "classification"'
            )
        check_numbers(y, where)
        if self.loss.targets == "flags":
            odd = np.argwhere((y != 0) & (y != 1))
            if odd.size:
                row, column = (int(i) for i in odd[0])
                raise DataError(
                    f"{where} has {y[row, column]} at row {row}, column {column}; expected 0 or 1 "
                    'for each label: for numbers, set objective.loss = "squared-error"'
                )

    def fit(self, data: TargetData) -> Targets:
        if self.loss.targets == "flags":
            return Flags(data.y.shape[1])
        return Numbers.fitted(data, self.scores)

    def restored(self, arrays: Mapping[str, Array], outputs: int, inputs: Inputs) -> Targets:
        if self.loss.targets == "flags":
            return Flags(outputs)
        return Numbers(self.scores, arrays["target_mean"], arrays["target_scale"])


@dataclass(frozen=True, eq=False)
class Numbers:
    """Standardised targets t = (y - mean) / scale, with mean and scale (outputs,) of the training
    part.

    scale  the standard deviation; 1 for a constant target
    flat   whether y is (n,) and not (n, 1)
    """

    scores: Sequence[Metric]
    mean: Array
    scale: Array
    flat: bool = False

    @classmethod
    def fitted(cls, data: TargetData, scores: Sequence[Metric]) -> Numbers:
        y = _columns(data.y)[data.rows]
        mean, std = y.mean(axis=0), y.std(axis=0)
        std[std <= 1e-12 * np.abs(mean)] = 1.0
        if not np.isfinite(std).all():
            raise DataError(f"{data.source}: targets are too large; expected moderate numbers")
        return cls(scores, mean, std, flat=data.y.ndim == 1)

    @property
    def outputs(self) -> int:
        return self.mean.size

    def encode(self, y: Array, where: str) -> Array:
        columns = _columns(y)
        if columns.shape[1] != self.outputs:
            raise DataError(
                f"{where}: {columns.shape[1]} targets a sample, and {self.outputs} in training; "
                "expected as many"
            )
        return ((columns - self.mean) / self.scale).astype(np.float32)

    def predict(self, Z: Matrix) -> Array:
        found = Z.T * self.scale + self.mean
        return found[:, 0] if self.flat else found

    def constant(self, T: Array) -> Matrix:
        """(outputs, 1) outputs that predict the means, which are 0 after standardisation."""
        return np.zeros((self.outputs, 1), dtype=np.float32)

    def score(self) -> Errors:
        return Errors(self.scale, self.scores)

    def arrays(self) -> dict[str, Array]:
        return {"target_mean": self.mean, "target_scale": self.scale}


@dataclass(frozen=True, eq=False)
class Flags:
    """Labels that are 0 or 1. A label is predicted as 1 if its output Z is above 0, so that its
    sigmoid is above 1/2."""

    outputs: int

    def encode(self, y: Array, where: str) -> Array:
        return y.astype(np.float32)

    def predict(self, Z: Matrix) -> Array:
        predicted: Array = Z.T > 0
        return predicted

    def score(self) -> Labelling:
        return Labelling()

    def arrays(self) -> dict[str, Array]:
        return {}


def loss_of_vectors(loss: Loss, objective: str) -> Loss:
    if loss.targets != "vectors":
        raise SuiteError(
            f"objective.loss: {type(loss).__name__} does not compare with numbers, which "
            f"{objective} has as targets; expected a loss such as squared-error"
        )
    return loss


def check_numbers(y: Array, where: str) -> None:
    if y.dtype.kind not in "biuf":
        raise DataError(
            f"{where} has dtype {y.dtype}; expected numbers: for labels, set "
            'objective = "classification"'
        )
    odd = np.argwhere(~np.isfinite(y))
    if odd.size:
        row = int(odd[0][0])
        raise DataError(f"{where} has {y[tuple(odd[0])]} at row {row}; expected finite numbers")


def _columns(y: Array) -> npt.NDArray[np.float64]:
    return np.asarray(y, dtype=np.float64).reshape(len(y), -1)
