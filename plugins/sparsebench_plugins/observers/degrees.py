"""Observers of degrees: histograms, dead neurons, and the connections of each input."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.observer import MOST_BINS, Observation
from sparsebench.core.protocols import Network
from sparsebench_plugins.observers.params import (
    DeadNeuronsParams,
    DegreesParams,
    InputConnectionsParams,
)

Ints = npt.NDArray[Any]

MOST_INPUTS = 64
"""Up to this many inputs, the connections of each input are returned, and not only a summary."""

EXACT = 8
"""Each degree below this has its own bin; above, there are four bins per doubling."""

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


class Degrees(DegreesParams):
    """For each layer, the in-degrees of its output neurons and the out-degrees of its inputs."""

    def start(self, network: Network) -> Observation:
        return _Degrees(network)


class _Degrees(Observation):
    def values(self) -> Mapping[str, Any]:
        found: dict[str, list[Any]] = {}
        for layer in self.network.layers:
            pattern = layer.weights().pattern
            for way, degrees in (("in", pattern.in_degrees()), ("out", pattern.out_degrees())):
                found.setdefault(f"{way}_degree_mean", []).append(degrees.mean())
                found.setdefault(f"{way}_degree_max", []).append(degrees.max())
                found.setdefault(f"{way}_degree_histogram", []).append(degree_histogram(degrees))
        return {
            "largest_in_degree": max(found["in_degree_max"]),
            "largest_out_degree": max(found["out_degree_max"]),
            **found,
        }


class DeadNeurons(DeadNeuronsParams):
    """The number of hidden neurons without incoming or without outgoing connections, through which
    no signal passes. The entry of the output layer is None."""

    def start(self, network: Network) -> Observation:
        return _DeadNeurons(network)


class _DeadNeurons(Observation):
    def values(self) -> Mapping[str, Any]:
        dead: list[int | None] = []
        incoming: list[int | None] = []
        outgoing: list[int | None] = []
        patterns = [layer.weights().pattern for layer in self.network.layers]
        for below, above in pairwise(patterns):
            no_input, no_output = below.in_degrees() == 0, above.out_degrees() == 0
            dead.append(_count(no_input | no_output))
            incoming.append(_count(no_input))
            outgoing.append(_count(no_output))
        total = sum(count for count in dead if count is not None)
        hidden = sum(pattern.shape[0] for pattern in patterns[:-1])
        return {
            "dead_neurons": total,
            "dead_neuron_share": total / hidden if hidden else None,
            "dead_neurons_of_layer": [*dead, None],
            "without_incoming": [*incoming, None],
            "without_outgoing": [*outgoing, None],
        }


class InputConnections(InputConnectionsParams):
    """The numbers of connections of the network's inputs, as a histogram and as the percentiles 0,
    5, 25, 50, 75, 95 and 100; for at most 64 inputs also one by one."""

    def start(self, network: Network) -> Observation:
        return _InputConnections(network)


class _InputConnections(Observation):
    def values(self) -> Mapping[str, Any]:
        degrees = self.network.layers[0].weights().pattern.out_degrees()
        return {
            "unconnected_inputs": _count(degrees == 0) / degrees.size,
            "input_connections": degrees if degrees.size <= MOST_INPUTS else None,
            "input_connections_histogram": degree_histogram(degrees),
            "input_connections_percentiles": np.percentile(degrees, PERCENTILES),
        }


def degree_histogram(degrees: Ints) -> Ints:
    """The number of degrees in each bin, up to the last bin that is not empty.

    Bin b holds degrees from bin_edges()[b] to below bin_edges()[b + 1]; the last of the 64 bins
    has no upper end. A bin above 8 is at most a quarter as wide as its lower edge.
    """
    found = np.searchsorted(bin_edges(), degrees, side="right") - 1
    return np.bincount(found)


def bin_edges() -> Ints:
    """(64,) The lower edges: 0, 1, ..., 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ..., 114688."""
    octave, quarter = np.divmod(np.arange(MOST_BINS - EXACT), 4)
    return np.concatenate([np.arange(EXACT), (4 + quarter) << (octave + 1)])


def _count(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))
