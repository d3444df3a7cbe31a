"""The observer of In-Time Over-Parameterization: the share of all possible connections that ever
existed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparsebench.core.archive import WithPrefix
from sparsebench.core.arrays import Array
from sparsebench.core.observer import Observation
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import Change
from sparsebench_plugins.observers.params import ItopParams
from sparsebench_plugins.observers.visited_positions import Visited


class Itop(ItopParams):
    """R_s of Liu et al. (2021), arXiv 2102.02887: the number of positions that ever were a
    connection, initial ones included, divided by the number of all positions K D.

    The value is exact, with standard error 0, as long as the visited positions fit into 16 bytes
    per initial connection and neuron; after that it is an estimate (`visited_positions.Visited`).
    """

    def start(self, network: Network) -> Observation:
        return _Itop(network)


class _Itop(Observation):
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._visited = [Visited(layer.shape, layer.nnz) for layer in network.layers]
        for visited, layer in zip(self._visited, network.layers, strict=True):
            visited.add(layer.weights().pattern.keys())

    def on_change(self, index: int, change: Change) -> None:
        columns = self.network.layers[index].shape[1]
        rows = np.asarray(change.rows, dtype=np.int64)
        self._visited[index].add(rows * columns + change.columns)

    def values(self) -> Mapping[str, Any]:
        counts = [visited.count() for visited in self._visited]
        possible = [visited.possible for visited in self._visited]
        variance = sum(visited.standard_error() ** 2 for visited in self._visited)
        return {
            "itop_rate": sum(counts) / sum(possible),
            "itop_standard_error": variance**0.5 / sum(possible),
            "itop_rate_of_layer": [c / p for c, p in zip(counts, possible, strict=True)],
        }

    def saved(self) -> Iterator[tuple[str, Array]]:
        for number, visited in enumerate(self._visited, 1):
            for name, array in visited.saved():
                yield f"layer{number}.{name}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        for number, visited in enumerate(self._visited, 1):
            visited.restore(WithPrefix(saved, f"layer{number}"))
