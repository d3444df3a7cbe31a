"""Draws are exact, without replacement, uniform, and take memory of what they draw."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sparsebench.sparse.sampling import distinct_below, free_positions, random_pattern


@given(st.integers(1, 300), st.data())
def test_distinct_below_gives_as_many_as_asked_sorted_and_distinct(n, data):
    count = data.draw(st.integers(0, n))
    found = distinct_below(n, count, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert found.size == count
    assert (np.diff(found) > 0).all()
    assert count == 0 or (found[0] >= 0 and found[-1] < n)


@pytest.mark.parametrize("count", [2, 4])
def test_every_set_is_equally_likely(count):
    rng = np.random.default_rng(0)
    draws = Counter(tuple(distinct_below(6, count, rng).tolist()) for _ in range(6000))
    sets = list(combinations(range(6), count))
    assert chisquare([draws[s] for s in sets]).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_memory_is_of_what_is_drawn(share):
    n, count = int(200_000 / share), 200_000
    rng = np.random.default_rng(0)
    tracemalloc.start()
    distinct_below(n, count, rng)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * count


def test_too_many_is_refused():
    with pytest.raises(ValueError, match="cannot draw 7 distinct integers below 6"):
        distinct_below(6, 7, np.random.default_rng(0))


@st.composite
def holes(draw):
    K, D = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    taken = random_pattern((K, D), draw(st.integers(0, K * D)), rng).keys()
    closed = draw(st.booleans())
    rows = rng.random(K) < 0.4 if closed else None
    columns = rng.random(D) < 0.4 if closed and draw(st.booleans()) else None
    return K, D, taken, rows, columns, draw(st.integers(0, K * D)), rng


@given(holes())
def test_growth_takes_free_open_positions_and_as_many_as_there_are(case):
    K, D, taken, rows, columns, count, rng = case
    found = free_positions((K, D), taken, count, rng, rows, columns)
    free = np.setdiff1d(np.arange(K * D), taken)
    if rows is not None:
        free = free[~rows[free // D]]
    if columns is not None:
        free = free[~columns[free % D]]
    assert (np.diff(found) > 0).all()
    assert np.isin(found, free).all()
    assert found.size == min(count, free.size)


@pytest.mark.parametrize("taken", [[0, 5], [0, 1, 2, 5, 6, 7]], ids=["few taken", "most taken"])
def test_every_set_of_free_positions_is_equally_likely(taken):
    rng = np.random.default_rng(1)
    taken = np.array(taken)
    shape = (3, 4) if taken.size == 2 else (2, 5)
    free = np.setdiff1d(np.arange(shape[0] * shape[1]), taken)
    draws = Counter(tuple(free_positions(shape, taken, 2, rng).tolist()) for _ in range(8000))
    sets = list(combinations(free.tolist(), 2))
    assert set(draws) == set(sets)
    assert chisquare([draws[s] for s in sets]).pvalue > 1e-3


def test_one_more_taken_changes_one_growth_at_most():
    """What keeps backends together after rounding flips one drop."""
    shape, rng = (300, 300), np.random.default_rng(0)
    taken = random_pattern(shape, 5000, rng).keys()
    grown = free_positions(shape, taken, 500, np.random.default_rng(5))
    other = np.sort(np.append(taken, grown[100]))
    again = free_positions(shape, other, 500, np.random.default_rng(5))
    assert np.setdiff1d(grown, again).size == 1
