"""Draws are exact, without replacement, uniform, and take memory of what they draw."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import combinations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, hypergeom

from sparsebench.core.sparse import reference
from sparsebench.core.sparse import threads as thread_parts
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench.core.sparse.sampling import free_positions, random_pattern

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="too much for Python")
SEEDS = st.integers(0, 2**32 - 1)


def key_of(seed):
    """The key that a draw takes from a fresh generator."""
    return int(np.random.default_rng(seed).integers(2**64, dtype=np.uint64))


def positions(rows, columns):
    return list(zip(np.asarray(rows).tolist(), np.asarray(columns).tolist(), strict=True))


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request, monkeypatch):
    """However little there is to do."""
    monkeypatch.setattr(thread_parts, "WORTH_THREADS", 0)
    before = numba.get_num_threads()
    numba.set_num_threads(min(request.param, numba.config.NUMBA_NUM_THREADS))
    yield
    numba.set_num_threads(before)


# --- the pattern of a new layer ------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 200), SEEDS, st.data())
@settings(max_examples=60)
def test_a_pattern_is_canonical_and_has_as_many_connections_as_asked(K, D, seed, data):
    nnz = data.draw(st.integers(0, K * D))
    pattern = random_pattern((K, D), nnz, np.random.default_rng(seed))
    pattern.validate()
    assert pattern.nnz == nnz
    assert pattern.indices.dtype == pattern.indptr.dtype == np.int32


@given(st.integers(1, 9), st.sampled_from([1, 7, 63, 64, 65, 128, 5000]), SEEDS, st.data())
@settings(max_examples=40)
def test_a_pattern_agrees_with_its_twin(K, D, seed, data):
    nnz = data.draw(st.integers(0, min(K * D - 1, 300)))
    pattern = random_pattern((K, D), nnz, np.random.default_rng(seed))
    less = min(nnz, K * D - nnz)
    drawn = reference.drawn(key_of(seed), range(K), range(D), set(), less)
    if 2 * nnz > K * D:
        drawn = sorted({(r, j) for r in range(K) for j in range(D)} - set(drawn))
    assert positions(pattern.rows, pattern.indices) == drawn


@compiled_only
@pytest.mark.parametrize("nnz", [2, 4])
def test_every_pattern_is_equally_likely(nnz):
    rng = np.random.default_rng(0)
    draws = Counter(tuple(random_pattern((2, 3), nnz, rng).keys().tolist()) for _ in range(3000))
    sets = list(combinations(range(6), nnz))
    assert chisquare([draws[s] for s in sets]).pvalue > 1e-3


@compiled_only
def test_connections_of_a_row_are_distributed_as_without_replacement():
    """Of 40,000 rows of a layer; hypergeometric, which is narrower than with replacement."""
    K, D, nnz = 40_000, 30, 300_000
    degrees = random_pattern((K, D), nnz, np.random.default_rng(3)).in_degrees()
    law = hypergeom(K * D, nnz, D)
    middle = np.arange(3, 13)
    found = [*(np.count_nonzero(degrees == n) for n in middle), 0]
    found[-1] = K - sum(found)
    chances = [*law.pmf(middle), 1 - law.pmf(middle).sum()]
    assert chisquare(found, K * np.array(chances)).pvalue > 1e-3


@compiled_only
def test_columns_are_equally_likely():
    degrees = random_pattern((2000, 70), 50_000, np.random.default_rng(4)).out_degrees()
    assert chisquare(degrees).pvalue > 1e-3


@compiled_only
@pytest.mark.parametrize("density", [1e-4, 0.1, 0.45, 0.9])
def test_memory_is_of_the_pattern(density):
    nnz = 400_000
    side = int((nnz / density) ** 0.5)
    random_pattern((9, 9), 30, np.random.default_rng(0))
    random_pattern((9, 9), 60, np.random.default_rng(0))
    tracemalloc.start()
    random_pattern((side, side), nnz, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    scratch = 64 * side + 100_000
    assert peak < 4 * nnz + scratch


@pytest.mark.parametrize("nnz", [400, 4700])
def test_a_pattern_is_the_same_for_any_number_of_threads(threads, nnz):
    pattern = random_pattern((70, 70), nnz, np.random.default_rng(1))
    drawn = reference.drawn(key_of(1), range(70), range(70), set(), min(nnz, 4900 - nnz))
    others = sorted({(r, j) for r in range(70) for j in range(70)} - set(drawn))
    assert positions(pattern.rows, pattern.indices) == (drawn if nnz == 400 else others)


@pytest.mark.parametrize(("shape", "nnz"), [((2, 3), 7), ((2, 3), -1), ((2**31, 1), 1)])
def test_what_cannot_be_drawn_is_refused(shape, nnz):
    with pytest.raises(ValueError, match=f"cannot draw {nnz} distinct positions of {shape[0]} x"):
        random_pattern(shape, nnz, np.random.default_rng(0))


# --- growth --------------------------------------------------------------------------


@st.composite
def holes(draw, largest=9):
    K, D = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    seed = draw(SEEDS)
    rng = np.random.default_rng(seed)
    pattern = random_pattern((K, D), draw(st.integers(0, K * D)), rng)
    keep = rng.random(pattern.nnz) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    rows = rng.random(K) < 0.4 if draw(st.booleans()) else None
    columns = rng.random(D) < 0.4 if draw(st.booleans()) else None
    return pattern, keep, draw(st.integers(0, K * D)), seed, rows, columns


def room(pattern, keep, closed_rows, closed_columns):
    """Open rows, open columns, the positions taken there, and the free ones."""
    K, D = pattern.shape
    rows = [r for r in range(K) if closed_rows is None or not closed_rows[r]]
    columns = [j for j in range(D) if closed_columns is None or not closed_columns[j]]
    kept = set(positions(pattern.rows[keep], pattern.indices[keep]))
    inside = {(r, j) for r in rows for j in columns}
    return rows, columns, kept & inside, inside - kept


@given(holes())
@settings(max_examples=150)
def test_growth_takes_free_open_positions_and_as_many_as_there_are(case):
    pattern, keep, count, seed, *closed = case
    rows, columns = free_positions(pattern, keep, count, np.random.default_rng(seed), *closed)
    *_, free = room(pattern, keep, *closed)
    found = positions(rows, columns)
    assert found == sorted(set(found))
    assert set(found) <= free
    assert len(found) == min(count, len(free))
    assert rows.dtype == columns.dtype == np.int32


@given(holes(20))
@settings(max_examples=150)
def test_growth_agrees_with_its_twins(case):
    pattern, keep, count, seed, *closed = case
    found = free_positions(pattern, keep, count, np.random.default_rng(seed), *closed)
    rows, columns, taken, free = room(pattern, keep, *closed)
    count = min(count, len(free))
    crowded = 2 * (len(taken) + count) > len(rows) * len(columns)
    twin = reference.lowest if crowded else reference.drawn
    assert positions(*found) == twin(key_of(seed), rows, columns, taken, count)


@compiled_only
@pytest.mark.parametrize("taken", [[0, 5], [0, 1, 2, 5, 6, 7]], ids=["few taken", "most taken"])
def test_every_set_of_free_positions_is_equally_likely(taken):
    rng = np.random.default_rng(1)
    shape = (3, 4) if len(taken) == 2 else (2, 5)
    pattern = CsrPattern.from_keys(shape, np.array(taken))
    keep = np.ones(len(taken), dtype=bool)
    free = sorted(set(range(shape[0] * shape[1])) - set(taken))
    draws = Counter()
    for _ in range(4000):
        rows, columns = free_positions(pattern, keep, 2, rng)
        draws[tuple((rows * shape[1] + columns).tolist())] += 1
    sets = list(combinations(free, 2))
    assert set(draws) == set(sets)
    assert chisquare([draws[s] for s in sets]).pvalue > 1e-3


def test_what_was_just_dropped_may_grow_again():
    pattern = CsrPattern.full((3, 3))
    keep = np.arange(9) % 2 == 0
    rows, columns = free_positions(pattern, keep, 4, np.random.default_rng(0))
    assert (rows * 3 + columns).tolist() == [1, 3, 5, 7]


@compiled_only
@pytest.mark.parametrize("nnz", [5000, 60_000], ids=["few taken", "most taken"])
def test_one_more_taken_changes_one_growth_at_most(nnz):
    """What keeps backends together after rounding flips one drop."""
    pattern = random_pattern((300, 300), nnz, np.random.default_rng(0))
    keep = np.random.default_rng(1).random(nnz) < 0.7

    def grown(keep):
        return set(positions(*free_positions(pattern, keep, nnz // 10, np.random.default_rng(5))))

    before = grown(keep)
    for at in np.flatnonzero(~keep)[:40]:
        other = keep.copy()
        other[at] = True
        assert len(before - grown(other)) <= 1


@compiled_only
@pytest.mark.parametrize("side", [600, 3000, 20_000], ids=["crowded", "sparse", "very sparse"])
def test_growth_takes_memory_of_what_is_grown(side):
    nnz, count = 300_000, 90_000
    pattern = random_pattern((side, side), nnz, np.random.default_rng(0))
    keep = np.arange(nnz) % 10 >= 3
    free_positions(pattern, keep, 1, np.random.default_rng(0))
    tracemalloc.start()
    free_positions(pattern, keep, count, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * count + 64 * side + 100_000


def test_growth_is_the_same_for_any_number_of_threads(threads):
    for nnz in (400, 2500):
        pattern = random_pattern((70, 70), nnz, np.random.default_rng(0))
        keep = np.arange(nnz) % 10 >= 3
        closed = (np.arange(70) % 9 == 0, np.arange(70) % 8 == 0)
        found = free_positions(pattern, keep, nnz // 3, np.random.default_rng(2), *closed)
        rows, columns, taken, _ = room(pattern, keep, *closed)
        twin = reference.drawn if nnz == 400 else reference.lowest
        assert positions(*found) == twin(key_of(2), rows, columns, taken, nnz // 3)
