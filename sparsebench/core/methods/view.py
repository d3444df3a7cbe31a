"""The view of a network that a topology method gets at an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsebench.core.arrays import Mask, Matrix, Vector
from sparsebench.core.methods.state import State
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.protocols import Initializer, LayerSignals, Shape
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.products import gradient_at
from sparsebench.seeds import generator


@dataclass(frozen=True)
class Source:
    """Loads a layer's arrays for a view, each on first access.

    weights  its weights
    batch    None where the method does not need the batch
    momentum (nnz,) the optimizer's; None where the method does not need it
    """

    weights: Callable[[], CsrMatrix]
    batch: LayerSignals | None = None
    momentum: Callable[[], Vector] | None = None


@dataclass(frozen=True, eq=False)
class LayerView:
    """One layer at one step. It caches the arrays it loaded: drop it before viewing the next layer.

    index, count    its number from 0, and the layers of the network
    step            just finished
    seed            of the topology's draws
    initializer     of the model
    state           what the method remembers
    closed_rows     (K,) output neurons that must not get connections; None: none
    closed_columns  (D,) input neurons likewise
    """

    source: Source
    index: int
    count: int
    step: TrainingStep
    seed: int
    initializer: Initializer
    state: State
    closed_rows: Mask | None = None
    closed_columns: Mask | None = None

    @cached_property
    def W(self) -> CsrMatrix:
        """(K, D); read only."""
        return self.source.weights()

    @property
    def X(self) -> Matrix:
        """(D, N) inputs of the mini-batch."""
        return self._batch().X

    @property
    def DZ(self) -> Matrix:
        """(K, N) gradient of the mean loss for the pre-activations."""
        return self._batch().DZ

    @cached_property
    def gradient(self) -> Vector:
        """(nnz,) gradient of the mean loss for each weight."""
        return gradient_at(self.W.rows, self.W.indices, self.X, self.DZ)

    @cached_property
    def momentum(self) -> Vector:
        """(nnz,) the optimizer's smoothed gradient; its sign and scale are the optimizer's."""
        if self.source.momentum is None:
            raise ValueError("the method does not declare the signal 'momentum'")
        return self.source.momentum()

    def rng(self, purpose: str = "rewire") -> np.random.Generator:
        """The generator of this purpose, step and layer; repeated calls return the same one."""
        if purpose not in self._generators:
            self._generators[purpose] = generator(self.seed, purpose, self.step.step, self.index)
        return self._generators[purpose]

    @cached_property
    def _generators(self) -> dict[str, np.random.Generator]:
        return {}

    def draw(self, count: int, rng: np.random.Generator) -> Vector:
        """Fresh weights from the model's initializer."""
        return self.initializer.draw(self.W.pattern, count, rng)

    def free(self) -> int:
        """Positions without a connection, closed ones included."""
        K, D = self.W.shape
        return K * D - self.W.nnz

    def _batch(self) -> LayerSignals:
        if self.source.batch is None:
            raise ValueError("the method does not declare the signal 'batch'")
        return self.source.batch


@dataclass(frozen=True)
class NetworkView:
    """All layers at one update.

    layer        view of a layer by its index, made anew at each call
    shapes       (K, D) of each layer
    connections  nnz of each layer
    started      nnz of each layer when training began
    """

    layer: Callable[[int], LayerView]
    step: TrainingStep
    shapes: Sequence[Shape]
    connections: Sequence[int]
    started: Sequence[int]

    @property
    def count(self) -> int:
        """Layers of the network."""
        return len(self.shapes)

    @classmethod
    def of(
        cls,
        layers: Sequence[CsrMatrix],
        initializer: Initializer,
        step: TrainingStep,
        *,
        seed: int = 0,
        batch: Sequence[LayerSignals] | None = None,
        momentum: Sequence[Vector] | None = None,
        state: State | None = None,
    ) -> NetworkView:
        """A view of these weights, outside training."""
        remembered = State() if state is None else state

        def layer(index: int) -> LayerView:
            source = Source(
                weights=lambda: layers[index],
                batch=None if batch is None else batch[index],
                momentum=None if momentum is None else lambda: momentum[index],
            )
            return LayerView(source, index, len(layers), step, seed, initializer, remembered)

        counts = [W.nnz for W in layers]
        return cls(layer, step, [W.shape for W in layers], counts, counts)
