"""The built-in observers on small layers, worked by hand."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from sparsebench_plugins.observers.degrees import bin_edges, degree_histogram
from sparsebench_plugins.observers.visited_positions import BYTES_EACH, Visited

from sparsebench.core.sparse.csr import Change, CsrMatrix, CsrPattern
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.observers import plain_values
from sparsebench.testing.observers import FixedNetwork

FIRST = [[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]]  # 4 inputs, 3 hidden neurons
SECOND = [[1, 1, 0], [1, 0, 0]]  # 2 outputs


def matrix(rows) -> CsrMatrix:
    dense = np.array(rows)
    pattern = CsrPattern.from_keys(dense.shape, np.flatnonzero(dense))
    return CsrMatrix(pattern, np.ones(pattern.nnz, dtype=np.float32))


def observed(build, name, *matrices):
    observer = build("observer", name)
    network = FixedNetwork(matrices or [matrix(FIRST), matrix(SECOND)])
    values = observer.start(network).values()
    metrics, layers = plain_values(name, observer.metrics, values, len(network.layers))
    return {**metrics, **layers}


def test_degrees_of_each_layer(build):
    found = observed(build, "degrees")
    assert found == {
        "largest_in_degree": 2,
        "largest_out_degree": 2,
        "in_degree_mean": [4 / 3, 1.5],
        "in_degree_max": [2, 2],
        "in_degree_histogram": [[1, 0, 2], [0, 1, 1]],
        "out_degree_mean": [1.0, 1.0],
        "out_degree_max": [2, 2],
        "out_degree_histogram": [[1, 2, 1], [1, 1, 1]],
    }


def test_dead_neurons_have_no_way_in_or_no_way_out(build):
    """Of the hidden neurons 0, 1, 2 the second has no input and the third no output."""
    found = observed(build, "dead-neurons")
    assert found == {
        "dead_neurons": 2,
        "dead_neuron_share": 2 / 3,
        "dead_neurons_of_layer": [2, None],
        "without_incoming": [1, None],
        "without_outgoing": [1, None],
    }


def test_a_network_without_hidden_layers_has_no_dead_neurons(build):
    found = observed(build, "dead-neurons", matrix(SECOND))
    assert (found["dead_neurons"], found["dead_neuron_share"]) == (0, None)


def test_connections_to_each_input(build):
    found = observed(build, "input-connections")
    assert found["unconnected_inputs"] == 0.25
    assert found["input_connections"] == [2, 1, 0, 1]
    assert found["input_connections_histogram"] == [1, 2, 1]
    assert found["input_connections_percentiles"][::3] == [0, 1, 2]


def test_many_inputs_are_summarised(build):
    wide = CsrMatrix(CsrPattern.full((2, 65)), np.ones(130, dtype=np.float32))
    found = observed(build, "input-connections", wide)
    assert found["input_connections"] is None
    assert found["input_connections_histogram"] == [0, 0, 65]


class TestHistogram:
    def test_there_are_64_bins_exact_below_8_and_four_to_a_doubling_above(self):
        edges = bin_edges()
        assert edges.size == 64
        assert edges[:18].tolist() == [*range(8), 8, 10, 12, 14, 16, 20, 24, 28, 32, 40]
        assert edges[-1] == 114_688

    def test_a_degree_on_an_edge_is_in_the_bin_above(self):
        found = degree_histogram(np.array([0, 0, 7, 8, 9, 10, 10**6]))
        assert found.size == 64
        counts = {0: 2, 7: 1, 8: 2, 9: 1, 63: 1}
        assert {index: int(n) for index, n in enumerate(found) if n} == counts


class TestItop:
    def test_what_was_ever_there_counts_once(self, build):
        """A 2 x 3 layer: connections 0 and 4; then 4 goes and 5 comes; then 5 goes, 4 is back."""
        network = FixedNetwork([matrix([[1, 0, 0], [0, 1, 0]])])
        itop = build("observer", "itop").start(network)

        def move(keep, row, column):
            ones = np.ones(1, dtype=np.float32)
            change = Change(np.array(keep), np.array([row]), np.array([column]), ones)
            network.layers[0].apply_change(change)
            itop.on_change(0, change)
            return itop.values()["itop_rate"]

        assert itop.values()["itop_rate"] == 2 / 6
        assert move([True, False], 1, 2) == 3 / 6
        assert move([True, False], 1, 1) == 3 / 6
        assert move([False, True], 0, 2) == 4 / 6
        assert itop.values()["itop_standard_error"] == 0

    def test_layers_count_by_their_size(self, build):
        found = observed(build, "itop")
        assert found["itop_rate_of_layer"] == [4 / 12, 3 / 6]
        assert found["itop_rate"] == 7 / 18

    def test_rows_of_a_wide_layer_do_not_wrap(self, build):
        """Row D + column passes 2^31 although rows and columns are int32."""
        K = D = 100_000
        network = FixedNetwork([CsrMatrix(CsrPattern.from_keys((K, D), np.array([0])), ONE)])
        itop = build("observer", "itop").start(network)
        rows, columns = np.array([99_999], dtype=np.int32), np.array([99_999], dtype=np.int32)
        change = Change(np.array([True]), rows, columns, ONE)
        network.layers[0].apply_change(change)
        itop.on_change(0, change)
        assert itop.values()["itop_rate"] == 2 / (K * D)


ONE = np.ones(1, dtype=np.float32)


class TestVisited:
    """All forms against a set of Python integers."""

    def walk(self, shape, nnz, rounds, seed=0):
        rng = np.random.default_rng(seed)
        visited, seen = Visited(shape, nnz), set()
        for _ in range(rounds):
            keys = random_pattern(shape, nnz, rng).keys()
            visited.add(keys)
            seen.update(keys.tolist())
            assert visited.nbytes <= BYTES_EACH * (nnz + sum(shape))
            yield visited, len(seen)

    def test_a_bit_per_position_is_exact(self):
        for visited, exact in self.walk((50, 60), 100, 60):
            assert (visited.count(), visited.standard_error()) == (exact, 0)

    def test_keys_are_exact_while_they_fit(self):
        *_, (visited, exact) = self.walk((2000, 2000), 1000, 5)
        assert "keys" in dict(visited.saved())
        assert (visited.count(), visited.standard_error()) == (exact, 0)

    def test_beyond_the_count_is_within_the_stated_error(self):
        """60,000 positions in 640,000 hash bits."""
        *_, (visited, exact) = self.walk((2000, 2000), 1000, 60)
        assert "bits" in dict(visited.saved())
        error = visited.standard_error()
        assert 0 < error < 0.003 * exact
        assert abs(visited.count() - exact) < 4.5 * error

    def test_the_error_is_neither_too_small_nor_too_large(self):
        """Over 40 sets of positions the squared errors are as large as stated, within a factor of
        2 (chi-squared with 40 degrees of freedom: 0.5 to 2 happens but once in 10,000)."""
        ratios = []
        for seed in range(40):
            *_, (visited, exact) = self.walk((2000, 2000), 500, 100, seed)
            ratios.append(((visited.count() - exact) / visited.standard_error()) ** 2)
        assert 0.5 < np.mean(ratios) < 2

    def test_a_full_sketch_says_everything_was_tried(self):
        visited = Visited((3000, 3000), 10)
        for start in range(0, 9_000_000, 1_000_000):
            visited.add(np.arange(start, start + 1_000_000))
        assert visited.count() <= visited.possible == 9_000_000
        assert visited.count() == pytest.approx(9_000_000, abs=4.5 * visited.standard_error())

    @pytest.mark.parametrize(
        ("shape", "rounds"), [((50, 60), 3), ((2000, 2000), 3), ((2000, 2000), 30)]
    )
    def test_restored_it_goes_on_as_before(self, shape, rounds):
        *_, (visited, _) = self.walk(shape, 1000, rounds)
        again = Visited(shape, 1)
        again.restore({name: np.array(array) for name, array in visited.saved()})
        more = random_pattern(shape, 700, np.random.default_rng(7)).keys()
        visited.add(more)
        again.add(more)
        assert again.count() == visited.count()
        assert again.nbytes == visited.nbytes

    def test_memory_is_of_order_nnz(self):
        """1.6e9 positions, 40,000 connections, 100 updates of 30 %: state and peak stay at some
        bytes per connection and neuron, where a bit per position is 200 MB."""
        K = D = nnz = 40_000
        rng = np.random.default_rng(0)
        random_pattern((K, D), nnz, np.random.default_rng(1))  # loads what is compiled
        tracemalloc.start()
        try:
            visited = Visited((K, D), nnz)
            visited.add(random_pattern((K, D), nnz, rng).keys())
            for _ in range(100):
                visited.add(random_pattern((K, D), 12_000, rng).keys())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert visited.nbytes <= BYTES_EACH * (nnz + K + D)
        assert peak < 100 * (nnz + K + D)
        assert visited.count() == pytest.approx(1_240_000, rel=0.005)
        assert math.isfinite(visited.standard_error())
