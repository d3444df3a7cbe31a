"""Losses of the last layer's pre-activations Z (K, N) and targets T: labels (N,), or numbers (K,
N).

With sample weights w (N,), a loss is sum_n w_n l_n / sum_n w_n.
"""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Labels, Matrix, Vector
from sparsebench_plugins.loss_targets import OfFlags, OfLabels, OfVectors


class CrossEntropy(OfLabels):
    """Softmax and the mean negative log-likelihood of the labels."""

    def value(self, Z: Matrix, T: Labels, weights: Vector | None = None) -> float:
        shifted = Z - Z.max(axis=0)
        log_sum = np.log(np.exp(shifted).sum(axis=0))
        return mean(log_sum - shifted[T, np.arange(T.size)], weights)

    def value_and_gradient(
        self, Z: Matrix, T: Labels, weights: Vector | None = None
    ) -> tuple[float, Matrix]:
        """DZ = (softmax(Z) - onehot(T)) / N, written over Z."""
        samples = np.arange(T.size)
        Z -= Z.max(axis=0)
        of_label = Z[T, samples]
        np.exp(Z, out=Z)
        sums = Z.sum(axis=0)
        value = mean(np.log(sums) - of_label, weights)
        Z /= sums
        Z[T, samples] -= 1
        return value, averaged(Z, weights)


class SquaredError(OfLabels):
    """Sigmoid outputs; half the squared distance to the one-hot label, averaged over samples."""

    def value(self, Z: Matrix, T: Labels, weights: Vector | None = None) -> float:
        errors = sigmoid(Z)
        errors[T, np.arange(T.size)] -= 1
        return half_squares(errors, weights)

    def value_and_gradient(
        self, Z: Matrix, T: Labels, weights: Vector | None = None
    ) -> tuple[float, Matrix]:
        """DZ = (Y - onehot(T)) Y (1 - Y) / N with Y = sigmoid(Z)."""
        Y = sigmoid(Z)
        slope = Y * (1 - Y)
        Y[T, np.arange(T.size)] -= 1
        value = half_squares(Y, weights)
        Y *= slope
        return value, averaged(Y, weights)


class LinearSquaredError(OfVectors):
    """Half the squared distance of linear outputs to their targets, averaged over samples.

    It is summed over the outputs, as in the released codes of SET and QuickSelection, so more
    outputs give larger gradients.
    """

    def value(self, Z: Matrix, T: Matrix, weights: Vector | None = None) -> float:
        return half_squares(Z - T, weights)

    def value_and_gradient(
        self, Z: Matrix, T: Matrix, weights: Vector | None = None
    ) -> tuple[float, Matrix]:
        """DZ = (Z - T) / N, written over Z."""
        Z -= T
        if weights is not None:
            return half_squares(Z, weights), averaged(Z, weights)
        return float(np.vdot(Z, Z)) / (2 * Z.shape[1]), averaged(Z, None)


class BinaryCrossEntropy(OfFlags):
    """Sigmoid outputs; the negative log-likelihood of several labels that are 0 or 1, summed over
    labels and averaged over samples."""

    def value(self, Z: Matrix, T: Matrix, weights: Vector | None = None) -> float:
        return mean(_likelihoods(Z, T), weights)

    def value_and_gradient(
        self, Z: Matrix, T: Matrix, weights: Vector | None = None
    ) -> tuple[float, Matrix]:
        """DZ = (sigmoid(Z) - T) / N."""
        value = mean(_likelihoods(Z, T), weights)
        Y = sigmoid(Z)
        Y -= T
        return value, averaged(Y, weights)


class FlagSquaredError(OfFlags):
    """Sigmoid outputs; half the squared distance to several labels that are 0 or 1, summed over
    labels and averaged over samples, as in the released code of truly sparse segmentation."""

    def value(self, Z: Matrix, T: Matrix, weights: Vector | None = None) -> float:
        return half_squares(sigmoid(Z) - T, weights)

    def value_and_gradient(
        self, Z: Matrix, T: Matrix, weights: Vector | None = None
    ) -> tuple[float, Matrix]:
        """DZ = (Y - T) Y (1 - Y) / N with Y = sigmoid(Z)."""
        Y = sigmoid(Z)
        slope = Y * (1 - Y)
        Y -= T
        value = half_squares(Y, weights)
        Y *= slope
        return value, averaged(Y, weights)


def mean(losses: Vector, weights: Vector | None) -> float:
    """The mean of the samples' losses (N,)."""
    if weights is None:
        return float(losses.mean())
    return float((weights * losses).sum() / weights.sum())


def half_squares(errors: Matrix, weights: Vector | None) -> float:
    """Half the squared length of each column, averaged over columns."""
    if weights is None:
        return float((errors * errors).sum() / (2 * errors.shape[1]))
    return mean((errors * errors).sum(axis=0) / 2, weights)


def averaged(D: Matrix, weights: Vector | None) -> Matrix:
    """Turn the gradients of the samples' losses (columns of D) into those of the mean loss, in
    place."""
    if weights is None:
        D /= D.dtype.type(D.shape[1])
    else:
        D *= (weights / weights.sum()).astype(D.dtype, copy=False)
    return D


def sigmoid(Z: Matrix) -> Matrix:
    """1 / (1 + exp(-z)), without overflow."""
    small = np.exp(-np.abs(Z))
    Y: Matrix = np.where(Z >= 0, Z.dtype.type(1), small) / (1 + small)
    return Y


def _likelihoods(Z: Matrix, T: Matrix) -> Vector:
    """(N,) sum_k log(1 + exp(z)) - t z, without overflow."""
    each = np.maximum(Z, 0) - Z * T + np.log1p(np.exp(-np.abs(Z)))
    summed: Vector = each.sum(axis=0)
    return summed
