"""Which connections go, and how many there are: worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from sparsebench.sparse import allocation
from sparsebench.sparse.criteria import all_but_smallest, weakest_per_sign_dropped


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
