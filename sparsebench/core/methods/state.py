"""A method's state between updates: named arrays, kept in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array
from sparsebench.core.sparse.csr import AppliedChange

Key = tuple[str, int]


class State:
    """Arrays by name and layer.

    connections  (nnz,) each: they follow the connections through every change, and start at 0
    arrays       of any shape: per neuron, per layer, or a bounded set of positions
    """

    def __init__(self) -> None:
        self.connections: dict[Key, Array] = {}
        self.arrays: dict[Key, Array] = {}

    def connection(
        self, name: str, layer: int, nnz: int, dtype: npt.DTypeLike = np.float32
    ) -> Array:
        """The array of this name over the layer's connections; zeros the first time."""
        return self.connections.setdefault((name, layer), np.zeros(nnz, dtype=dtype))

    def carry(self, layer: int, applied: AppliedChange) -> None:
        """Follow a change of the layer's connections."""
        for key, array in self.connections.items():
            if key[1] == layer:
                self.connections[key] = applied.carry(array)

    def follows(self, layer: int) -> bool:
        """Whether there is state for the layer's connections."""
        return any(index == layer for _, index in self.connections)

    def saved(self) -> Iterator[tuple[str, Array]]:
        for kind, arrays in (("connections", self.connections), ("arrays", self.arrays)):
            for (name, layer), array in arrays.items():
                yield f"method.{kind}.{layer}.{name}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        self.connections, self.arrays = {}, {}
        for key in saved:
            if key.startswith("method."):
                _, kind, layer, name = key.split(".", 3)
                arrays = self.connections if kind == "connections" else self.arrays
                arrays[name, int(layer)] = np.array(saved[key])
