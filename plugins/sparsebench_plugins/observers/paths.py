"""Observers of a topology's structure: active neurons, nonzero weights, paths, power laws,
overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array
from sparsebench.core.observer import Observation
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench_plugins.observers.params import (
    ActiveNeuronsParams,
    NonzeroWeightsParams,
    OverlapParams,
    PathsParams,
    PowerLawParams,
)

Ints = npt.NDArray[Any]


def patterns_of(network: Network) -> list[CsrPattern]:
    return [layer.weights().pattern for layer in network.layers]


class ActiveNeurons(ActiveNeuronsParams):
    """The number of hidden neurons that are on a path from an input to an output.

    The number is exact, unlike that of the neurons left by the percolation of Cannistraci-Hebb
    training, which makes only one pass in each direction.
    """

    def start(self, network: Network) -> Observation:
        return _ActiveNeurons(network)


class _ActiveNeurons(Observation):
    def values(self) -> Mapping[str, Any]:
        patterns = patterns_of(self.network)
        active = active_neurons(patterns)
        hidden = sum(pattern.shape[0] for pattern in patterns[:-1])
        total = sum(int(mask.sum()) for mask in active)
        return {
            "active_neurons": total,
            "active_neuron_share": total / hidden if hidden else None,
            "active_neurons_of_layer": [*(int(mask.sum()) for mask in active), None],
        }


def active_neurons(patterns: list[CsrPattern]) -> list[npt.NDArray[np.bool_]]:
    """For each hidden layer, a mask of the neurons that are on a path from an input to an
    output."""
    reached = [np.ones(patterns[0].shape[1], dtype=bool)]
    for pattern in patterns[:-1]:
        found = np.zeros(pattern.shape[0], dtype=bool)
        found[pattern.rows[reached[-1][pattern.indices]]] = True
        reached.append(found)
    leads = np.ones(patterns[-1].shape[0], dtype=bool)
    active = []
    for pattern, from_inputs in zip(patterns[:0:-1], reached[:0:-1], strict=True):
        found = np.zeros(pattern.shape[1], dtype=bool)
        found[pattern.indices[leads[pattern.rows]]] = True
        leads = found
        active.append(leads & from_inputs)
    return active[::-1]


class NonzeroWeights(NonzeroWeightsParams):
    """The number of connections whose weight is not 0, for methods that store more connections than
    they use."""

    def start(self, network: Network) -> Observation:
        return _NonzeroWeights(network)


class _NonzeroWeights(Observation):
    def values(self) -> Mapping[str, Any]:
        layers = [layer.weights() for layer in self.network.layers]
        counts = [int(np.count_nonzero(W.data)) for W in layers]
        return {
            "nonzero_weights": sum(counts),
            "nonzero_density": sum(counts) / sum(W.shape[0] * W.shape[1] for W in layers),
            "nonzero_weights_of_layer": counts,
        }


class Paths(PathsParams):
    """The logarithm to base 10 of the number of paths from inputs to outputs."""

    def start(self, network: Network) -> Observation:
        return _Paths(network)


class _Paths(Observation):
    def values(self) -> Mapping[str, Any]:
        patterns = patterns_of(self.network)
        # per neuron the paths that end in it, kept near 1 so that deep networks do not overflow
        ends: Ints = np.ones(patterns[0].shape[1])
        scale = 0.0
        for pattern in patterns:
            ends = np.bincount(pattern.rows, ends[pattern.indices], pattern.shape[0])
            largest = ends.max(initial=0.0)
            if largest == 0:
                return {"log_paths": None, "log_paths_per_connection": None}
            ends = ends / largest
            scale += np.log10(largest)
        total = scale + np.log10(ends.sum())
        connections = sum(pattern.nnz for pattern in patterns)
        return {"log_paths": total, "log_paths_per_connection": total - np.log10(connections)}


class PowerLaw(PowerLawParams):
    """Whether the degrees of hidden neurons, incoming and outgoing together, follow a power law.

    Clauset, Shalizi and Newman (2009), arXiv 0706.1062. The exponent is fitted by maximum
    likelihood to all degrees from a least degree on, which is chosen so that the distance between
    the two distributions is smallest. p is the share of samples from the fitted law whose own fit
    is worse; below 0.1, the degrees follow no power law. Deviation: degrees below the least are not
    resampled.
    """

    def start(self, network: Network) -> Observation:
        return _PowerLaw(network, self.samples)


class _PowerLaw(Observation):
    def __init__(self, network: Network, samples: int) -> None:
        super().__init__(network)
        self._samples = samples

    def values(self) -> Mapping[str, Any]:
        patterns = patterns_of(self.network)
        degrees = np.concatenate(
            [below.in_degrees() + above.out_degrees() for below, above in pairwise(patterns)]
            or [np.zeros(0, dtype=np.int64)]
        )
        found = power_law(degrees[degrees > 0])
        if found is None:
            return dict.fromkeys(
                ("power_law_exponent", "power_law_from", "power_law_distance", "power_law_p")
            )
        exponent, least, distance = found
        tail = int((degrees >= least).sum())
        rng, worse = np.random.default_rng(0), 0
        for _ in range(self._samples):
            drawn = drawn_from_law(exponent, least, tail, rng)
            again = fitted(drawn, least)
            worse += again is not None and again[1] >= distance
        return {
            "power_law_exponent": exponent,
            "power_law_from": least,
            "power_law_distance": distance,
            "power_law_p": worse / self._samples,
        }


MOST_STARTS = 50
"""The most degrees that are tried as the least degree of a power law."""

FEWEST = 10
"""A power law is fitted only to at least this many neurons."""


def power_law(degrees: Ints) -> tuple[float, int, float] | None:
    """Exponent, least degree and Kolmogorov-Smirnov distance of the closest power law; None if
    there are fewer than FEWEST degrees or none can be fitted (see `fitted`)."""
    if degrees.size < FEWEST:
        return None
    starts = np.unique(degrees)
    starts = starts[np.unique(np.linspace(0, starts.size - 1, MOST_STARTS).astype(int))]
    best = None
    for least in starts.tolist():
        found = fitted(degrees[degrees >= least], least)
        if found is not None and (best is None or found[1] < best[2]):
            best = found[0], least, found[1]
    return best


def fitted(tail: Ints, least: int) -> tuple[float, float] | None:
    """The fitted exponent and the Kolmogorov-Smirnov distance for degrees of at least `least`; None
    if there are fewer than FEWEST or all are equal.

    Uses the continuous approximation, in which the least degree is lowered by 1/2.
    """
    if tail.size < FEWEST or tail.max() == tail.min():
        return None
    edge = least - 0.5
    exponent = 1 + tail.size / np.log(tail / edge).sum()
    values, counts = np.unique(tail, return_counts=True)
    upto = np.cumsum(counts) / tail.size
    law = 1 - ((values + 0.5) / edge) ** (1 - exponent)
    return float(exponent), float(np.abs(upto - law).max())


def drawn_from_law(exponent: float, least: int, count: int, rng: np.random.Generator) -> Ints:
    uniform = 1 - rng.random(count)
    drawn: Ints = np.floor((least - 0.5) * uniform ** (1 / (1 - exponent)) + 0.5)
    return drawn


class Overlap(OverlapParams):
    """The share of current connections that existed at the last observation, and at the start."""

    def start(self, network: Network) -> Observation:
        return _Overlap(network)


class _Overlap(Observation):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._first = self._last = [pattern.keys() for pattern in patterns_of(network)]

    def values(self) -> Mapping[str, Any]:
        now = [pattern.keys() for pattern in patterns_of(self.network)]
        since_last: list[int] = []
        since_first: list[int] = []
        for keys, last, first in zip(now, self._last, self._first, strict=True):
            since_last.append(_shared(keys, last))
            since_first.append(_shared(keys, first))
        self._last = now
        total = sum(keys.size for keys in now)
        return {
            "overlap_with_last": sum(since_last) / total if total else None,
            "overlap_with_first": sum(since_first) / total if total else None,
            "overlap_with_first_of_layer": [
                shared / keys.size if keys.size else None
                for shared, keys in zip(since_first, now, strict=True)
            ],
        }

    def saved(self) -> Iterator[tuple[str, Array]]:
        for name, keys in (("first", self._first), ("last", self._last)):
            for number, array in enumerate(keys):
                yield f"{name}{number}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        count = len(self._first)
        self._first = [saved[f"first{number}"] for number in range(count)]
        self._last = [saved[f"last{number}"] for number in range(count)]


def _shared(a: Ints, b: Ints) -> int:
    return int(np.intersect1d(a, b, assume_unique=True).size)
