"""Observers of active neurons, paths, power laws and overlap, on small layers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sparsebench_plugins.observers import paths
from sparsebench_plugins.observers.distance import TopologyDistance

from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.testing.observers import FixedNetwork


def pattern_of(dense) -> CsrPattern:
    dense = np.asarray(dense)
    return CsrPattern.from_keys(dense.shape, np.flatnonzero(dense))


def network_like(*patterns):
    return FixedNetwork([CsrMatrix(one, np.ones(one.nnz, np.float32)) for one in patterns])


FIRST, SECOND, LAST = (
    pattern_of([[1, 1], [1, 0], [0, 0]]),
    pattern_of([[1, 0, 1], [0, 0, 1], [1, 0, 0]]),
    pattern_of([[1, 1, 0]]),
)


def test_active_neurons_are_on_a_path_from_inputs_to_outputs():
    """Of the first three hidden neurons one leads to an output; of the next, one is reached."""
    first, second = paths.active_neurons([FIRST, SECOND, LAST])
    assert first.tolist() == [True, False, False]
    assert second.tolist() == [True, False, False]
    found = paths.ActiveNeurons().start(network_like(FIRST, SECOND, LAST)).values()
    assert found["active_neurons"] == 2
    assert found["active_neuron_share"] == pytest.approx(2 / 6)


def test_paths_are_counted():
    found = paths.Paths().start(network_like(FIRST, SECOND, LAST)).values()
    assert 10 ** found["log_paths"] == pytest.approx(2)  # from each input by the first neurons
    deep = [pattern_of(np.ones((20, 20)))] * 300
    assert paths.Paths().start(network_like(*deep)).values()["log_paths"] == pytest.approx(
        301 * np.log10(20)
    )


def test_a_power_law_is_found_and_others_are_not():
    rng = np.random.default_rng(0)
    degrees = paths.drawn_from_law(2.5, 3, 3000, rng).astype(int)
    exponent, least, distance = paths.power_law(degrees)
    assert exponent == pytest.approx(2.5, abs=0.15)
    assert least <= 8
    assert distance < 0.03
    exponent, _, distance = paths.power_law(rng.poisson(20, 3000))
    assert exponent > 4  # what is left of a poisson distribution is steep
    assert paths.power_law(np.full(50, 7)) is None


def test_overlap_counts_connections_that_stayed():
    overlap = paths.Overlap().start(network_like(pattern_of([[1, 1, 0, 0]])))
    found = []
    for dense in ([[1, 0, 1, 0]], [[0, 0, 1, 1]]):
        overlap.network = network_like(pattern_of(dense))
        values = overlap.values()
        found.append((values["overlap_with_last"], values["overlap_with_first"]))
    assert found == [(0.5, 0.5), (0.5, 0.0)]


def test_distance_is_none_where_neurons_are_only_renumbered():
    """The two hidden neurons change places, and then one of three connections goes elsewhere."""
    first = [pattern_of([[1, 1, 0], [0, 0, 1]]), pattern_of([[1, 0]])]
    swapped = [pattern_of([[0, 0, 1], [1, 1, 0]]), pattern_of([[0, 1]])]
    moved = [pattern_of([[0, 0, 1], [1, 0, 1]]), pattern_of([[0, 1]])]
    network = network_like(*first)
    look = TopologyDistance(epochs=2).start(network)
    assert look.values()["distance_from_first"] is None  # not due
    network.layers = network_like(*swapped).layers
    assert look.values()["distance_from_first_of_layer"] == [0.0, 0.0]
    network.layers = network_like(*moved).layers
    again = TopologyDistance(epochs=2).start(network)
    again.restore({name: array.copy() for name, array in look.saved()})
    for one in (look, again):
        one.values()
        found = one.values()
        assert found["distance_from_first_of_layer"] == pytest.approx([(0 + 2 / 3) / 2, 0.0])
        assert found["distance_from_last"] == found["distance_from_first"]
