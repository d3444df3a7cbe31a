"""Canonical matrices and changes: laws and worked numbers."""

from __future__ import annotations

import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench.core.sparse import reference
from sparsebench.core.sparse import threads as thread_parts
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern, TopologyError
from sparsebench.core.sparse.sampling import free_positions, random_pattern
from sparsebench.testing.fixtures import to_dense

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="too much for Python")


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
    applied = AppliedChange(pattern, change)
    assert applied.pattern.keys().tolist() == [0, 1, 4, 5]
    assert applied.carry(np.array([10.0, 20.0, 30.0])).tolist() == [10.0, 0.0, 30.0, 0.0]


@st.composite
def changes(draw):
    """A matrix and a change of it."""
    W = draw(matrices())
    K, D = W.shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keep = rng.random(W.nnz) < draw(st.sampled_from([0.0, 0.6, 1.0]))
    free = np.setdiff1d(np.arange(K * D), W.pattern.keys()[keep])
    grown = free[rng.random(free.size) < draw(st.sampled_from([0.0, 0.4, 1.0]))]
    return W, Change(keep, grown // D, grown % D, rng.random(grown.size, dtype=np.float32))


def by_position(pattern, values):
    where = zip(pattern.rows.tolist(), pattern.indices.tolist(), strict=True)
    return dict(zip(where, np.asarray(values).tolist(), strict=True))


DTYPES = st.sampled_from([np.float32, np.uint16, np.int32, np.int64, np.uint8, np.float16])


@given(changes(), DTYPES, st.integers(1, 2), st.booleans())
def test_arrays_of_any_type_follow_as_in_the_twin(case, dtype, threads, one_value):
    W, change = case
    old = (np.arange(W.nnz) * 7 % 251).astype(dtype)
    grown = 3 if one_value else (np.arange(change.grown) * 5 % 241).astype(dtype)
    worth, before = thread_parts.WORTH_THREADS, numba.get_num_threads()
    thread_parts.WORTH_THREADS = 0
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    applied = AppliedChange(W.pattern, change)
    carried = applied.carry(old, grown)
    thread_parts.WORTH_THREADS = worth
    numba.set_num_threads(before)
    assert carried.dtype == dtype
    fresh = dict(
        zip(
            zip(change.rows.tolist(), change.columns.tolist(), strict=True),
            np.broadcast_to(grown, change.grown).tolist(),
            strict=True,
        )
    )
    expected = reference.changed(by_position(W.pattern, old), change.keep, fresh)
    applied.pattern.validate()
    assert list(by_position(applied.pattern, carried).items()) == list(expected.items())


@compiled_only
def test_a_topology_change_takes_memory_of_what_it_makes():
    """The new pattern, and one array at a time."""
    side, nnz = 3000, 500_000
    rng = np.random.default_rng(0)
    pattern = random_pattern((side, side), nnz, rng)
    keep = np.arange(nnz) % 10 >= 3
    rows, columns = free_positions(pattern, keep, int((~keep).sum()), rng)
    change = Change(keep, rows, columns, np.zeros(rows.size, np.float32))
    values = np.zeros(nnz, np.float32)
    AppliedChange(pattern, change).carry(values, change.values)
    slack = 64 * side + 100_000
    tracemalloc.start()
    try:
        applied = AppliedChange(pattern, change)
        assert tracemalloc.get_traced_memory()[1] < 4 * nnz + slack
        tracemalloc.reset_peak()
        kept = tracemalloc.get_traced_memory()[0]
        for _ in range(2):
            values = applied.carry(values, change.values)
        assert tracemalloc.get_traced_memory()[1] - kept < 8 * nnz + slack
    finally:
        tracemalloc.stop()


@given(matrices(), st.integers(0, 2**32 - 1))
def test_what_lies_outside_of_rows_and_columns(W, seed):
    rng = np.random.default_rng(seed)
    rows, columns = (rng.random(size) < 0.4 for size in W.shape)
    assert W.pattern.outside(None, None).all()
    assert np.array_equal(W.pattern.outside(rows, None), ~rows[W.rows])
    assert np.array_equal(W.pattern.outside(None, columns), ~columns[W.indices])
    both = ~(rows[W.rows] | columns[W.indices])
    assert np.array_equal(W.pattern.outside(rows, columns), both)


def test_a_change_of_another_size_is_refused():
    pattern = CsrPattern.from_keys((2, 3), np.array([0, 2]))
    with pytest.raises(TopologyError, match="keep has 3 entries for 2 connections"):
        AppliedChange(pattern, Change.drop(np.ones(3, dtype=bool)))
    some = np.array([1])
    change = Change(np.ones(2, dtype=bool), some, some, np.zeros(2, np.float32))
    with pytest.raises(TopologyError, match="differ in number"):
        AppliedChange(pattern, change)


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
        AppliedChange(pattern, change)


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2, 2], [1, 0]),
        ([0, 2, 2], [1, 1]),
        ([0, 0, 2], [2, 0]),
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
