"""Topology over training: prunes, then lets the topology drop and grow, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.methods.moment import Moment
from sparsebench.core.protocols import Initializer, Network, Pruning, Topology
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.training.position import flags, saved_flags
from sparsebench.seeds import generator

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerView:
    """What a topology method sees of one layer at an update.

    closed_rows     (K,) output neurons that must not get connections; None: none
    closed_columns  (D,) input neurons likewise
    """

    W: CsrMatrix
    index: int
    count: int
    closed_rows: Mask | None
    closed_columns: Mask | None
    initializer: Initializer

    def draw(self, count: int, rng: np.random.Generator) -> Vector:
        return self.initializer.draw(self.W.pattern, count, rng)


@dataclass
class Counts:
    """Connections changed since they were last asked for, per layer."""

    dropped: list[int]
    grown: list[int]
    pruned: list[int]

    @classmethod
    def zero(cls, layers: int) -> Counts:
        return cls([0] * layers, [0] * layers, [0] * layers)


class Evolution:
    """Applies a topology and a pruning to a network, and remembers which neurons are gone."""

    def __init__(
        self,
        network: Network,
        topology: Topology,
        pruning: Pruning | None,
        initializer: Initializer,
        seed: int,
        told: Callable[[int, Change], None] | None = None,
    ) -> None:
        """told  called with the index of a layer and its change, after each change"""
        self._told = told if told is not None else lambda index, change: None
        self._network = network
        self._topology = topology
        self._pruning = pruning
        self._initializer = initializer
        self._seed = seed
        self._removed = [np.zeros(layer.shape[0], dtype=bool) for layer in network.layers]
        self._counts = Counts.zero(len(network.layers))

    def due(self, moment: Moment) -> bool:
        pruning = self._pruning is not None and self._pruning.due(moment)
        return pruning or self._topology.due(moment)

    def update(self, moment: Moment) -> None:
        """Prune first, then drop and grow. The draws of a layer depend on seed, step and layer
        alone."""
        if self._pruning is not None and self._pruning.due(moment):
            self._prune(self._pruning)
        if self._topology.due(moment):
            self._rewire_all(moment)

    def rehearse(self, moment: Moment) -> None:
        """`update` whether due or not: for a throwaway network, so that all is compiled."""
        self.due(moment)
        if self._pruning is not None:
            self._prune(self._pruning)
        self._rewire_all(moment)

    def take_counts(self) -> Counts:
        """The counts since the last call."""
        counts, self._counts = self._counts, Counts.zero(len(self._network.layers))
        return counts

    def saved(self) -> Iterator[tuple[str, Array]]:
        """Which neurons are gone."""
        yield from flags(self._removed)

    @property
    def counts(self) -> Counts:
        """Since `take_counts` was last called."""
        return self._counts

    def restore(self, saved: Mapping[str, Array], counts: Counts) -> None:
        self._removed = [
            saved_flags(saved, number, layer.shape[0])
            for number, layer in enumerate(self._network.layers, 1)
        ]
        self._counts = counts

    def _rewire_all(self, moment: Moment) -> None:
        for index in range(len(self._network.layers)):
            self._rewire(index, moment)

    def _rewire(self, index: int, moment: Moment) -> None:
        layer = self._network.layers[index]
        rng = generator(self._seed, "rewire", moment.step, index)
        change = self._topology.update(self._view(index), moment, rng)
        if change is not None:
            layer.rewire(change)
            self._told(index, change)
            self._counts.dropped[index] += change.dropped
            self._counts.grown[index] += change.grown

    def _view(self, index: int) -> LayerView:
        layers = self._network.layers
        rows, columns = None, None
        if self._pruning is not None and not self._pruning.regrow:
            rows = _if_any(self._removed[index])
            if index > 0 and self._pruning.outgoing:
                columns = _if_any(self._removed[index - 1])
        W = layers[index].weights()
        return LayerView(W, index, len(layers), rows, columns, self._initializer)

    def _prune(self, pruning: Pruning) -> None:
        """Remove hidden neurons: all incoming connections, and the outgoing ones if so set."""
        layers = self._network.layers
        doomed: list[Mask | None] = [None]  # of the neurons before each layer, and behind it
        for index, layer in enumerate(layers[:-1]):
            W = layer.weights()
            alive = W.pattern.in_degrees() > 0
            if not pruning.regrow:
                alive &= ~self._removed[index]
            gone = pruning.remove(W, alive)
            self._removed[index] |= gone
            doomed.append(_if_any(gone))
        doomed.append(None)
        for index, layer in enumerate(layers):
            columns, rows = doomed[index : index + 2]
            if not pruning.outgoing:
                columns = None
            if rows is None and columns is None:
                continue
            change = Change.drop(layer.weights().pattern.outside(rows, columns))
            if change.dropped:
                layer.rewire(change)
                self._told(index, change)
                self._counts.pruned[index] += change.dropped


def _if_any(mask: Mask) -> Mask | None:
    return mask if mask.any() else None
