"""All trained values in one array: each layer's weights and bias, then the units' parameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from sparsebench.core.protocols import Network

Vector = npt.NDArray[np.float32]


class FlatValues:
    """The position of each of `Network.values` in one array.

    parts  slices that travel as a message each: one per layer, and one for the units if they
           train anything
    """

    def __init__(self, network: Network) -> None:
        sizes = [size for layer in network.layers for size in (layer.nnz, layer.shape[0])]
        own = [array.size for array in network.parameters().values()]
        self._bounds = [0, *accumulate(sizes + own)]
        ends = self._bounds[2 : 2 * len(network.layers) + 1 : 2]
        self.parts = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        if own:
            self.parts.append(slice(ends[-1], self.size))

    @property
    def size(self) -> int:
        return self._bounds[-1]

    def views(self, flat: Vector) -> list[Vector]:
        """In the order of `Network.values`."""
        return [flat[a:b] for a, b in zip(self._bounds[:-1], self._bounds[1:], strict=True)]

    def fill(self, flat: Vector, values: Sequence[Vector]) -> None:
        for view, array in zip(self.views(flat), values, strict=True):
            view[...] = array

    def fitting(self, flat: Vector) -> Vector:
        """`flat` itself if it has this size, else a new array."""
        return flat if flat.size == self.size else np.empty(self.size, dtype=np.float32)
