"""Topologies that do not move."""

from __future__ import annotations

from collections.abc import Sequence

from sparsebench.core.methods.protocols import LayerUpdate, Needs
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.methods.view import NetworkView
from sparsebench_plugins.topologies.params import AllocationParams, DenseParams


class _Fixed:
    needs = Needs()
    replaces_step = False

    def due(self, step: TrainingStep) -> bool:
        return False

    def layer_updates(self, network: NetworkView) -> Sequence[LayerUpdate]:
        return ()


class Dense(DenseParams, _Fixed):
    """Every position is a connection."""


class Static(AllocationParams, _Fixed):
    """A random topology, drawn once: epsilon 20 unless told otherwise."""
