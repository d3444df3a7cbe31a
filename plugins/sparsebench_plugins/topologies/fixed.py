"""Topologies that do not move."""

from __future__ import annotations

import numpy as np

from sparsebench.core.protocols import LayerView, Moment
from sparsebench.core.sparse.csr import Change
from sparsebench_plugins.topologies.params import AllocationParams, DenseParams


class Dense(DenseParams):
    """Every position is a connection."""

    def due(self, moment: Moment) -> bool:
        return False

    def update(self, layer: LayerView, moment: Moment, rng: np.random.Generator) -> Change | None:
        return None


class Static(AllocationParams):
    """A random topology, drawn once: epsilon 20 unless told otherwise."""

    def due(self, moment: Moment) -> bool:
        return False

    def update(self, layer: LayerView, moment: Moment, rng: np.random.Generator) -> Change | None:
        return None
