"""Losses of several targets per sample, from pre-activations Z (K, N) and targets T (K, N)."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench_plugins.losses.functions import averaged, half_squares, mean, sigmoid
from sparsebench_plugins.losses.params import OfFlags, OfVectors


class LinearSquaredError(OfVectors):
    """Half the squared distance of linear outputs to their targets, mean over samples.

    The sum over outputs, as in the released codes of SET and QuickSelection: a wider target has a
    larger gradient.
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
    """Sigmoid outputs and the negative log-likelihood of labels that are 0 or 1 each, summed over
    labels, mean over samples."""

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


def _likelihoods(Z: Matrix, T: Matrix) -> Vector:
    """(N,) sum_k log(1 + exp(z)) - t z, without overflow."""
    each = np.maximum(Z, 0) - Z * T + np.log1p(np.exp(-np.abs(Z)))
    summed: Vector = each.sum(axis=0)
    return summed
