"""How inputs are scaled: worked numbers, and sparse inputs that stay sparse."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from small import prepare

from sparsebench.core.data import feature_scaling
from sparsebench.core.data.feature_scaling import scaling_of
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError

X = np.array([[0, 5, 3], [2, 5, 1], [4, 5, 2], [99, 99, 99]], dtype=np.float32)
ROWS = np.arange(3)
"""The last row is not trained on."""


def scaled(how, X=X):
    mean, scale = scaling_of(X, ROWS, how)
    return (X[:3] - mean.T) * scale.T


def test_each_feature_by_its_own_deviation():
    a = np.sqrt(3 / 2)
    np.testing.assert_allclose(scaled("feature"), [[-a, 0, a], [0, 0, -a], [a, 0, 0]], rtol=1e-6)


def test_all_values_by_one_deviation():
    """Nine values with sum 27; their squares are 0 + 4 + 16, 3 x 25 and 9 + 1 + 4: 109."""
    values = X[:3].astype(float)
    expected = (values - 3) / np.sqrt(109 / 9 - 9)
    np.testing.assert_allclose(scaled("data"), expected, rtol=1e-6)


def test_each_feature_into_its_range():
    assert scaled("range").tolist() == [[0, 0, 1], [0.5, 0, 0], [1, 0, 0.5]]


def test_as_they_are():
    assert np.array_equal(scaled("none"), X[:3])


@pytest.mark.parametrize("how", ["feature", "data", "range", "none"])
def test_blocks_change_nothing(monkeypatch, how):
    rng = np.random.default_rng(0)
    wide, rows = rng.standard_normal((60, 7)), np.arange(5, 55)
    stored = sparse.random_array((60, 7), density=0.4, rng=rng, format="csr")
    for data in (wide, stored):
        whole = scaling_of(data, rows, how)
        with monkeypatch.context() as patch:
            patch.setattr(feature_scaling, "BLOCK", 10)
            for a, b in zip(whole, scaling_of(data, rows, how)):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("how", ["feature", "data"])
def test_csr_is_divided_by_the_same_deviations_and_not_centred(how):
    rng = np.random.default_rng(1)
    stored = sparse.random_array((80, 12), density=0.3, rng=rng, format="csr")
    rows = np.arange(60)
    mean, scale = scaling_of(stored, rows, how)
    assert not mean.any()
    np.testing.assert_allclose(scale, scaling_of(stored.toarray(), rows, how)[1], rtol=1e-9)


def test_csr_by_the_largest_magnitude():
    stored = sparse.csr_array(np.array([[0, -4, 0], [2, 1, 0], [0, 0, 0], [9, 9, 9.0]]))
    mean, scale = scaling_of(stored, ROWS, "range")
    assert not mean.any()
    assert scale.ravel().tolist() == [0.5, 0.25, 0]


def test_a_constant_feature_of_csr_becomes_zero():
    stored = sparse.csr_array(np.column_stack([np.full(7, 0.1), np.arange(7)]))
    assert scaling_of(stored, np.arange(7), "feature")[1][0] == 0


def test_csr_is_never_filled():
    """10^5 features, of which a sample has 20: dense rows of it would be 2000 x 10^5 numbers."""
    rng = np.random.default_rng(2)
    n, D, each = 2000, 100_000, 20
    columns = rng.integers(D, size=n * each)
    stored = sparse.csr_array(
        (rng.random(n * each), columns, np.arange(n + 1) * each), shape=(n, D)
    )
    for how in ("feature", "data", "range", "none"):
        tracemalloc.start()
        try:
            scaling_of(stored, np.arange(n), how)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * 8 * D + 10 * stored.data.nbytes


def test_the_choice_reaches_the_batches():
    y = np.array([0, 1, 0, 1])
    found = prepare(Parts(X, y, X, y), scaling="none")
    assert np.array_equal(found.test.batch(np.arange(4))[0], X.T)
    with pytest.raises(DataError, match="scaling = 'log' is not known; expected feature, data"):
        prepare(Parts(X, y, X, y), scaling="log")
