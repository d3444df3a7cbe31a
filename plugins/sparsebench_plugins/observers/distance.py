"""The observer of the distance between a network's topology and the one at the start, which does
not depend on how neurons are numbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparsebench.core.arrays import Array
from sparsebench.core.observer import Observation
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench.core.sparse.distance import nnstd
from sparsebench_plugins.observers.params import TopologyDistanceParams
from sparsebench_plugins.observers.paths import patterns_of

WIDEST = 5000


class TopologyDistance(TopologyDistanceParams):
    """The distance (NNSTD) from the first topology, and from the topology of the last measurement.
    Liu et al. (2020), arXiv 2006.14085. It is measured every `epochs` epochs, and is None in
    between, or if a layer has more than `WIDEST` neurons. A measurement solves an assignment
    problem for each hidden layer, in time O(K^3) and memory O(K^2).
    """

    def start(self, network: Network) -> Observation:
        return _TopologyDistance(network, self.epochs)


class _TopologyDistance(Observation):
    def __init__(self, network: Network, epochs: int) -> None:
        super().__init__(network)
        self._epochs, self._ended = epochs, 0
        self._first = self._last = patterns_of(network)

    def values(self) -> Mapping[str, Any]:
        self._ended += 1
        names = ("distance_from_first", "distance_from_last", "distance_from_first_of_layer")
        wide = any(pattern.shape[0] > WIDEST for pattern in self._first)
        if wide or self._ended % self._epochs:
            return dict.fromkeys(names)
        now = patterns_of(self.network)
        first, last = nnstd(self._first, now), nnstd(self._last, now)
        self._last = now
        return dict(zip(names, (float(np.mean(first)), float(np.mean(last)), first)))

    def saved(self) -> Iterator[tuple[str, Array]]:
        yield "ended", np.array([self._ended])
        for name, patterns in (("first", self._first), ("last", self._last)):
            for number, pattern in enumerate(patterns):
                yield f"{name}{number}", pattern.keys()

    def restore(self, saved: Mapping[str, Array]) -> None:
        self._ended = int(saved["ended"][0])
        shapes = [pattern.shape for pattern in self._first]
        self._first, self._last = (
            [CsrPattern.from_keys(shape, saved[f"{name}{k}"]) for k, shape in enumerate(shapes)]
            for name in ("first", "last")
        )
