"""Canonical matrices and changes: laws and worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench.sparse.csr import Change, CsrMatrix, CsrPattern, Rewiring, TopologyError
from sparsebench.sparse.sampling import random_pattern
from sparsebench.testing.fixtures import to_dense


@st.composite
def matrices(draw):
    K, D = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    nnz = draw(st.integers(0, K * D))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return CsrMatrix(random_pattern((K, D), nnz, rng), rng.standard_normal(nnz).astype(np.float32))


@given(matrices())
def test_keys_and_back_is_the_identity(W):
    again = CsrPattern.from_keys(W.shape, W.pattern.keys())
    again.validate()
    assert np.array_equal(again.indptr, W.indptr)
    assert np.array_equal(again.indices, W.indices)


@given(matrices(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_a_change_keeps_what_it_keeps_and_grows_what_it_grows(W, seed):
    rng = np.random.default_rng(seed)
    K, D = W.shape
    keep = rng.random(W.nnz) < 0.5
    free = np.setdiff1d(np.arange(K * D), W.pattern.keys()[keep])
    grown = free[rng.random(free.size) < 0.3]
    change = Change(keep, grown // D, grown % D, np.full(grown.size, 9, np.float32))
    after = W.apply(change)
    after.validate()
    expected = np.zeros(W.shape, np.float32)
    expected[W.rows[keep], W.indices[keep]] = W.data[keep]
    expected[grown // D, grown % D] = 9
    assert np.array_equal(to_dense(after), expected)
    assert after.nnz == keep.sum() + grown.size


def test_state_follows_its_connections_through_a_change():
    pattern = CsrPattern.from_keys((2, 3), np.array([0, 2, 4]))
    change = Change(
        np.array([True, False, True]), np.array([0, 1]), np.array([1, 2]), np.zeros(2, np.float32)
    )
    rewiring = Rewiring(pattern, change)
    assert rewiring.pattern.keys().tolist() == [0, 1, 4, 5]
    assert rewiring.carry(np.array([10.0, 20.0, 30.0])).tolist() == [10.0, 0.0, 30.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([0], [0], "where one is kept"),
        ([0, 0], [1, 1], "grown twice"),
        ([1, 0], [1, 1], "rising order"),
        ([0], [3], "outside"),
        ([-1], [0], "outside"),
    ],
)
def test_an_impossible_change_is_refused(rows, columns, message):
    pattern = CsrPattern.from_keys((2, 3), np.array([0, 2]))
    change = Change(
        np.array([True, True]), np.array(rows), np.array(columns), np.ones(len(rows), np.float32)
    )
    with pytest.raises(TopologyError, match=message):
        Rewiring(pattern, change)


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2, 2], [1, 0]),
        ([0, 2, 2], [1, 1]),
        ([0, 1, 2], [0, 5]),
        ([0, 1], [0]),
        ([0, 2, 1], [0]),
    ],
)
def test_validate_refuses_what_is_not_canonical(indptr, indices):
    with pytest.raises(TopologyError):
        CsrPattern((2, 3), np.array(indptr), np.array(indices)).validate()


def test_sum_of_magnitudes_by_row():
    W = CsrMatrix(CsrPattern.from_keys((3, 2), np.array([0, 1, 5])), np.float32([1, -2, -4]))
    assert W.row_sums_of_magnitude().tolist() == [3.0, 0.0, 4.0]
