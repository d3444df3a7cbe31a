"""Which connections go, and how many there are: worked numbers."""

from __future__ import annotations

import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparsebench_plugins import allocations as allocation

from sparsebench.core.sparse import reference
from sparsebench.core.sparse import threads as thread_parts
from sparsebench.core.sparse.selection import all_but_smallest, weakest_per_sign_dropped

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="too much for Python")


@pytest.mark.parametrize(
    ("scores", "count", "kept"),
    [
        ([3, 1, 2], 0, [1, 1, 1]),
        ([3, 1, 2], 2, [1, 0, 0]),
        ([1, 1, 1, 2], 2, [0, 0, 1, 1]),
        ([2, 1, 1, 1], 1, [1, 0, 1, 1]),
        ([1, 2], 5, [0, 0]),
    ],
)
def test_the_smallest_go_and_the_earlier_of_equals(scores, count, kept):
    assert all_but_smallest(np.float32(scores), count).tolist() == [bool(k) for k in kept]


def test_each_sign_loses_its_weakest_share():
    w = np.float32([0.5, -0.1, 0.1, -2.0, 0.3, -0.2, 0.9])
    kept = weakest_per_sign_dropped(w, 0.5)  # floor(0.5 * 4) positive, floor(0.5 * 3) negative
    assert kept.tolist() == [True, False, False, True, False, True, True]


def test_zero_counts_as_positive():
    kept = weakest_per_sign_dropped(np.float32([0.0, 1.0, -1.0, -2.0]), 0.5)
    assert kept.tolist() == [False, True, False, True]


def test_counts_are_rounded_down_per_sign():
    assert weakest_per_sign_dropped(np.float32([1, 2, 3, -1, -2, -3]), 0.3).all()


ODD = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, np.inf, -np.inf, np.nan, 2.0])
NUMBERS = st.lists(ODD | st.floats(width=32), max_size=60)


@given(NUMBERS, st.integers(-1, 70))
def test_selection_agrees_with_sorting(numbers, count):
    scores = np.float32(numbers)
    assert np.array_equal(
        all_but_smallest(scores, count), reference.all_but_smallest(scores, count)
    )


@given(NUMBERS, st.floats(0, 0.99))
def test_selection_by_sign_agrees_with_sorting(numbers, zeta):
    w = np.float32(numbers)
    kept = reference.weakest_per_sign_dropped(w, zeta)
    assert np.array_equal(weakest_per_sign_dropped(w, zeta), kept)


def test_scores_of_another_type_are_sorted():
    scores = np.array([2.0, 1.0 + 1e-12, 1.0])
    assert all_but_smallest(scores, 1).tolist() == [True, True, False]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("values", [50, 1_000_000], ids=["many ties", "few ties"])
def test_selection_is_the_same_for_any_number_of_threads(monkeypatch, threads, values):
    monkeypatch.setattr(thread_parts, "WORTH_THREADS", 0)
    w = np.random.default_rng(0).integers(-values, values, 5000).astype(np.float32)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    kept, rest = weakest_per_sign_dropped(w, 0.3), all_but_smallest(w, 1234)
    numba.set_num_threads(before)
    assert np.array_equal(kept, reference.weakest_per_sign_dropped(w, 0.3))
    assert np.array_equal(rest, reference.all_but_smallest(w, 1234))


@compiled_only
def test_selection_takes_a_byte_per_connection():
    w = np.random.default_rng(0).standard_normal(1_000_000, dtype=np.float32)
    weakest_per_sign_dropped(w[:9], 0.3)
    tracemalloc.start()
    weakest_per_sign_dropped(w, 0.3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < w.size + 100_000 * (1 + numba.get_num_threads())


PAPER = [(1000, 784), (1000, 1000), (1000, 1000), (10, 1000)]


def test_erdos_renyi_of_the_published_networks():
    assert sum(allocation.erdos_renyi(PAPER, 20)) == 125_680
    cifar = [(4000, 3072), (1000, 4000), (4000, 1000), (10, 4000)]
    assert sum(allocation.erdos_renyi(cifar, 20)) == 381_440
    lung = [(3000, 3312), (3000, 3000), (3000, 3000), (5, 3000)]
    assert sum(allocation.erdos_renyi(lung, 20)) == 381_240


@pytest.mark.parametrize("density", [0.01, 0.05, 0.2, 0.7, 1.0])
def test_erk_meets_the_global_density_and_caps_layers(density):
    counts = allocation.erdos_renyi_kernel(PAPER, density)
    size = sum(K * D for K, D in PAPER)
    assert sum(counts) == pytest.approx(density * size, abs=len(PAPER))
    assert all(count <= K * D for count, (K, D) in zip(counts, PAPER, strict=True))
    free = [(c / (K + D)) for c, (K, D) in zip(counts, PAPER, strict=True) if c < K * D]
    assert not free or max(free) - min(free) < 1e-2


def test_erk_of_the_nerva_logs():
    """published.md section 6: overall 0.01 gives 0.00778, 0.0175, 0.609."""
    shapes = [(1024, 3072), (512, 1024), (10, 512)]
    counts = allocation.erdos_renyi_kernel(shapes, 0.01)
    found = [count / (K * D) for count, (K, D) in zip(counts, shapes, strict=True)]
    assert found == pytest.approx([0.00778, 0.0175, 0.609], rel=5e-3)


def test_uniform_is_the_same_everywhere():
    assert allocation.uniform([(10, 100), (10, 10)], 0.1) == [100, 10]
