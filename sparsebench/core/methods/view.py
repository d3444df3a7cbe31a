"""The view of the network that a topology method gets at an update, and its state between
updates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Mask, Matrix, Vector
from sparsebench.core.csr_batch import Batch
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.protocols import Initializer, LayerSignals, Shape
from sparsebench.core.sparse.csr import AppliedChange, CsrMatrix, Ints
from sparsebench.core.sparse.gradients import gradient_at, largest_free_gradients
from sparsebench.core.sparse.positions import are_free
from sparsebench.core.sparse.sampling import free_positions
from sparsebench.seeds import generator

Key = tuple[str, int]
T = TypeVar("T")

PARTS = ("rows", "columns", "values")
"""The names of the three arrays that hold the positions which a method remembers."""


class State:
    """The arrays that a method keeps between updates and in checkpoints, by name and layer.

    connections  arrays (nnz,) that follow the connections through every change, 0 for new ones
    positions    rows, columns and values of some positions, whether connections or not
    arrays       arrays of other shapes, not indexed by hidden neurons: they may belong to the
                 network's inputs, its outputs, or a layer as a whole
    """

    def __init__(self) -> None:
        self.connections: dict[Key, Array] = {}
        self.positions: dict[Key, tuple[Ints, Ints, Array]] = {}
        self.arrays: dict[Key, Array] = {}

    def connection(
        self, name: str, layer: int, nnz: int, dtype: npt.DTypeLike = np.float32
    ) -> Array:
        """The array of this name over the layer's connections; made of zeros at the first call."""
        return self.connections.setdefault((name, layer), np.zeros(nnz, dtype=dtype))

    def carry(self, layer: int, applied: AppliedChange) -> None:
        """Apply a change of the layer's connections to the arrays over connections."""
        for key, array in self.connections.items():
            if key[1] == layer:
                self.connections[key] = applied.carry(array)

    def follows(self, layer: int) -> bool:
        """Whether there is state over the layer's connections."""
        return any(index == layer for _, index in self.connections)

    def renumber(self, layer: int, columns: Mask, rows: Mask) -> None:
        """Renumber the positions of a layer after neurons were removed.

        columns, rows  True for the inputs and outputs that remain; positions at removed ones are
                       forgotten

        Arrays over connections do not change.
        """
        new_column, new_row = np.cumsum(columns) - 1, np.cumsum(rows) - 1
        for key, (row, column, values) in self.positions.items():
            if key[1] == layer:
                left = rows[row] & columns[column]
                places = (new_row[row[left]], new_column[column[left]])
                at = tuple(found.astype(row.dtype) for found in places)
                self.positions[key] = (at[0], at[1], values[left])

    def nbytes(self) -> int:
        """Size of the method's state in bytes."""
        return sum(int(array.nbytes) for _, array in self.saved())

    def saved(self) -> Iterator[tuple[str, Array]]:
        for kind, arrays in (("connections", self.connections), ("arrays", self.arrays)):
            for (name, layer), array in arrays.items():
                yield f"method.{kind}.{layer}.{name}", array
        for (name, layer), parts in self.positions.items():
            for part, array in zip(PARTS, parts, strict=True):
                yield f"method.{part}.{layer}.{name}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        self.connections, self.positions, self.arrays = {}, {}, {}
        for key in saved:
            if key.startswith("method."):
                _, kind, layer, name = key.split(".", 3)
                if kind == PARTS[0]:
                    parts = (np.array(saved[f"method.{part}.{layer}.{name}"]) for part in PARTS)
                    self.positions[name, int(layer)] = (next(parts), next(parts), next(parts))
                elif kind not in PARTS:
                    arrays = self.connections if kind == "connections" else self.arrays
                    arrays[name, int(layer)] = np.array(saved[key])


@dataclass(frozen=True, eq=False)
class LayerView:
    """One layer at one step. The view caches the arrays that it loads, so release it before making
    the view of the next layer.

    load_weights    called on the first access of `W`
    index, count    number of this layer, from 0, and number of layers
    step            the step that has just finished
    seed            of the topology's random draws
    initializer     of the model
    state           the method's state
    batch           signals of the next mini-batch; None if the method does not need it
    load_momentum   returns the optimizer's momentum; None if the method does not need it
    closed_rows     (K,) True for output neurons that must not get connections, such as removed
                    ones; None: there are none
    closed_columns  (D,) the same for input neurons
    validate        evaluates the network; None if the method does not need it
    """

    load_weights: Callable[[], CsrMatrix]
    index: int
    count: int
    step: TrainingStep
    seed: int
    initializer: Initializer
    state: State
    batch: LayerSignals | None = None
    load_momentum: Callable[[], Vector] | None = None
    closed_rows: Mask | None = None
    closed_columns: Mask | None = None
    validate: Callable[[], Validation] | None = None

    @cached_property
    def W(self) -> CsrMatrix:
        """(K, D); read only."""
        return self.load_weights()

    @property
    def X(self) -> Batch:
        """(D, N) the layer's inputs for the mini-batch."""
        return _declared(self.batch, "batch").X

    @property
    def DZ(self) -> Matrix:
        """(K, N) gradient of the mean loss with respect to the layer's pre-activations."""
        return _declared(self.batch, "batch").DZ

    @property
    def A(self) -> Matrix:
        """(K, N) outputs for the mini-batch after the activation; of the last layer, the inputs of
        the loss."""
        return _declared(_declared(self.batch, "batch").A, "batch")

    @property
    def validation(self) -> Validation:
        """Loss and score on the validation samples, the same for all layers of an update."""
        return _declared(self.validate, "validation")()

    @cached_property
    def gradient(self) -> Vector:
        """(nnz,) gradient of the mean loss of one mini-batch with respect to each weight. Needs the
        signal `batch`."""
        return self.gradient_at(self.W.rows, self.W.indices)

    @cached_property
    def momentum(self) -> Vector:
        """(nnz,) the optimizer's smoothed gradient; sign and scale differ between optimizers."""
        return _declared(self.load_momentum, "momentum")()

    def gradient_at(self, rows: Ints, columns: Ints) -> Vector:
        """(count,) gradient of the mean loss at these positions, whether connections or not."""
        return gradient_at(rows, columns, self.X, self.DZ)

    def rng(self, purpose: str = "rewire") -> np.random.Generator:
        """The generator of this purpose, step and layer; repeated calls return the same one."""
        if purpose not in self._generators:
            self._generators[purpose] = generator(self.seed, purpose, self.step.step, self.index)
        return self._generators[purpose]

    @cached_property
    def _generators(self) -> dict[str, np.random.Generator]:
        return {}

    def draw(self, count: int, rng: np.random.Generator) -> Vector:
        """Weights for `count` new connections, from the model's initializer."""
        return self.initializer.draw(self.W.pattern, count, rng)

    def free(self) -> int:
        """Number of positions without a connection, including those in closed rows and columns."""
        K, D = self.W.shape
        return K * D - self.W.nnz

    def random_positions(
        self, keep: Mask, count: int, purpose: str = "rewire"
    ) -> tuple[Ints, Ints]:
        """Rows and columns of `count` positions that are not closed and where no connection is
        kept, in ascending order. Each is equally likely. Returns fewer if there are fewer."""
        closed = (self.closed_rows, self.closed_columns)
        return free_positions(self.W.pattern, keep, count, self.rng(purpose), *closed)

    def largest_gradients(self, keep: Mask, count: int) -> tuple[Ints, Ints, Vector]:
        """Rows, columns and |gradient| of the `count` positions with the largest |gradient| that
        are not closed and where no connection is kept. Computes all K D gradients, in tiles."""
        closed = (self.closed_rows, self.closed_columns)
        return largest_free_gradients(self.X, self.DZ, self.W.pattern, keep, count, *closed)

    def are_open(self, keep: Mask, rows: Ints, columns: Ints) -> Mask:
        """(count,) True for positions that are not closed and where no connection is kept."""
        free = are_free(self.W.pattern, keep, rows, columns)
        for closed, numbers in ((self.closed_rows, rows), (self.closed_columns, columns)):
            if closed is not None:
                free &= ~closed[numbers]
        return free


@dataclass(frozen=True)
class NetworkView:
    """All layers at one update.

    layer        returns a new view of the layer with this index
    shapes       (K, D) of each layer
    connections  nnz of each layer
    started      nnz of each layer when training began
    state        the method's state
    validate     evaluates the network; None if the method does not need it
    first_shapes (K, D) of each layer when training began, if dead neurons may have been removed
                 since; None: the same as `shapes`
    """

    layer: Callable[[int], LayerView]
    step: TrainingStep
    shapes: Sequence[Shape]
    connections: Sequence[int]
    started: Sequence[int]
    state: State = field(default_factory=State)
    validate: Callable[[], Validation] | None = None
    first_shapes: Sequence[Shape] | None = None

    @property
    def validation(self) -> Validation:
        """Loss and score on the validation samples."""
        return _declared(self.validate, "validation")()

    @property
    def count(self) -> int:
        """Number of layers."""
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
        validation: Validation | None = None,
    ) -> NetworkView:
        """A view of these weights outside a training, for tests and tools."""
        remembered = State() if state is None else state
        validate = None if validation is None else lambda: validation

        def layer(index: int) -> LayerView:
            return LayerView(
                lambda: layers[index], index, len(layers), step, seed, initializer, remembered,
                None if batch is None else batch[index],
                None if momentum is None else lambda: momentum[index], validate=validate,
            )  # fmt: skip

        counts = [W.nnz for W in layers]
        shapes = [W.shape for W in layers]
        return cls(layer, step, shapes, counts, counts, remembered, validate)


def _declared(source: T | None, signal: str) -> T:
    if source is None:
        raise ValueError(f"the method does not declare the signal {signal!r}")
    return source
