"""The distance of two topologies, by hand and by its symmetries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from sparsebench.core.sparse.distance import nnstd


def test_a_network_with_renumbered_neurons_is_the_same():
    rng = np.random.default_rng(0)
    sizes = [12, 9, 7, 4]
    one = [
        random_array((K, D), density=0.3, rng=rng, format="csr")
        for D, K in itertools.pairwise(sizes)
    ]
    places = [np.arange(12), *(rng.permutation(size) for size in sizes[1:-1]), np.arange(4)]
    other = [
        csr_array(W.toarray()[rows][:, columns])
        for W, columns, rows in zip(one, places, places[1:], strict=False)
    ]
    assert nnstd(one, other) == pytest.approx([0, 0, 0])


def test_distance_by_hand():
    """Neurons {0, 1} and {2} against {0} and {}: matched so 1/2 and 1, mean 3/4."""
    one = [csr_array([[1, 1, 0], [0, 0, 1]]), csr_array([[1, 0]])]
    other = [csr_array([[0, 0, 0], [1, 0, 0]]), csr_array([[0, 1]])]
    assert nnstd(one, other) == [0.75, 0.0]  # the output sees the neuron that was matched
    with pytest.raises(ValueError, match="different shapes"):
        nnstd(one, one[:1])
