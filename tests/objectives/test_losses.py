"""Losses in worked numbers; their gradients are held to finite differences by the kit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sparsebench_plugins.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    LinearSquaredError,
    SquaredError,
)


def test_squared_error_of_two_samples():
    """Errors (1, -1) and (0, 3): half of 2 and half of 9, mean 2.75."""
    Z, T = np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [1.0, 0.0]])
    loss = LinearSquaredError()
    assert loss.value(Z, T) == 2.75
    value, DZ = loss.value_and_gradient(Z.copy(), T)
    assert value == 2.75
    assert DZ.tolist() == [[0.5, 0.0], [-0.5, 1.5]]


def test_weights_of_squared_error():
    """Weights 3 and 1 on losses 1 and 4.5: (3 + 4.5) / 4."""
    Z, T = np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [1.0, 0.0]])
    value, DZ = LinearSquaredError().value_and_gradient(Z, T, np.array([3.0, 1.0]))
    assert value == 1.875
    assert DZ.tolist() == [[0.75, 0.0], [-0.75, 0.75]]


def test_binary_cross_entropy_of_one_sample():
    """Outputs 0 and log 3: sigmoids 1/2 and 3/4; labels 1 and 0: log 2 + log 4 = 3 log 2."""
    Z, T = np.array([[0.0], [math.log(3)]]), np.array([[1.0], [0.0]])
    value, DZ = BinaryCrossEntropy().value_and_gradient(Z, T)
    assert value == pytest.approx(3 * math.log(2))
    assert DZ.ravel() == pytest.approx([-0.5, 0.75])
    assert BinaryCrossEntropy().value(Z, T) == pytest.approx(3 * math.log(2))


def test_cross_entropy_with_weights():
    """Uniform over 2 and 4 classes' worth: log 2 whatever the weights; gradients follow them."""
    Z, y = np.zeros((2, 2)), np.array([0, 1])
    value, DZ = CrossEntropy().value_and_gradient(Z, y, np.array([1.0, 3.0]))
    assert value == pytest.approx(math.log(2))
    assert DZ.tolist() == [[-0.125, 0.375], [0.125, -0.375]]


def test_sigmoid_squared_error_with_weights():
    """Outputs 0: sigmoids 1/2, each sample errs by (1/2)^2 twice: a loss of 1/4."""
    value, DZ = SquaredError().value_and_gradient(
        np.zeros((2, 2)), np.array([0, 1]), np.array([1.0, 3.0])
    )
    assert value == 0.25
    assert DZ.tolist() == [[-0.03125, 0.09375], [0.03125, -0.09375]]
