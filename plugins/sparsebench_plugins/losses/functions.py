"""What training minimises, from the last layer's pre-activations Z (K, N) and labels (N,)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench_plugins.losses.params import NoParams

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class CrossEntropy(NoParams):
    """Softmax and the mean negative log-likelihood of the labels."""

    def value(self, Z: Matrix, y: Labels) -> float:
        shifted = Z - Z.max(axis=0)
        log_sum = np.log(np.exp(shifted).sum(axis=0))
        return float((log_sum - shifted[y, np.arange(y.size)]).mean())

    def value_and_gradient(self, Z: Matrix, y: Labels) -> tuple[float, Matrix]:
        """DZ = (softmax(Z) - onehot(y)) / N, written over Z."""
        samples = np.arange(y.size)
        Z -= Z.max(axis=0)
        of_label = Z[y, samples]
        np.exp(Z, out=Z)
        sums = Z.sum(axis=0)
        value = float((np.log(sums) - of_label).mean())
        Z /= sums
        Z[y, samples] -= 1
        Z /= Z.dtype.type(y.size)
        return value, Z


class SquaredError(NoParams):
    """Sigmoid outputs and half the squared distance to the one-hot label, mean over samples."""

    def value(self, Z: Matrix, y: Labels) -> float:
        errors = _sigmoid(Z)
        errors[y, np.arange(y.size)] -= 1
        return float((errors * errors).sum() / (2 * y.size))

    def value_and_gradient(self, Z: Matrix, y: Labels) -> tuple[float, Matrix]:
        """DZ = (Y - T) Y (1 - Y) / N with Y = sigmoid(Z)."""
        Y = _sigmoid(Z)
        slope = Y * (1 - Y)
        Y[y, np.arange(y.size)] -= 1
        value = float((Y * Y).sum() / (2 * y.size))
        Y *= slope
        Y /= Y.dtype.type(y.size)
        return value, Y


def _sigmoid(Z: Matrix) -> Matrix:
    """1 / (1 + exp(-z)), without overflow."""
    small = np.exp(-np.abs(Z))
    Y: Matrix = np.where(Z >= 0, Z.dtype.type(1), small) / (1 + small)
    return Y
