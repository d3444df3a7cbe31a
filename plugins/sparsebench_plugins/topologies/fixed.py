"""Topologies that do not move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsebench.protocols import LayerView, Moment, Shape
from sparsebench.sparse import allocation
from sparsebench.sparse.csr import Change
from sparsebench_plugins.topologies.params import AllocationParams, NoParams

DEFAULT_EPSILON = 20.0


class Dense(NoParams):
    """Every position is a connection."""

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        return [K * D for K, D in shapes]

    def due(self, moment: Moment) -> bool:
        return False

    def update(self, layer: LayerView, moment: Moment, rng: np.random.Generator) -> Change | None:
        return None


class Static(AllocationParams):
    """A random topology, drawn once: epsilon 20 unless told otherwise."""

    def connections(self, shapes: Sequence[Shape]) -> list[int]:
        if self.density is None:
            epsilon = self.epsilon if self.epsilon is not None else DEFAULT_EPSILON
            return allocation.erdos_renyi(shapes, epsilon)
        if self.allocation == "uniform":
            return allocation.uniform(shapes, self.density)
        return allocation.erdos_renyi_kernel(shapes, self.density)

    def due(self, moment: Moment) -> bool:
        return False

    def update(self, layer: LayerView, moment: Moment, rng: np.random.Generator) -> Change | None:
        return None
