"""A trunk with several heads as one network of wide layers, in which connections stay within a
head.

Layer l of head m is a block of the wide layer l: rows m K to (m + 1) K and columns m D to (m + 1)
D. In the first layer of the heads, all blocks have the trunk's D outputs as columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from sparsebench.core.arrays import Array, Mask, Matrix, Vector
from sparsebench.core.csr_batch import Batch
from sparsebench.core.methods.compose import share_out
from sparsebench.core.methods.initial import InitialNetwork
from sparsebench.core.methods.protocols import Candidates, EveryStep, Grow, SetsValues, Signal
from sparsebench.core.methods.view import LayerView, State
from sparsebench.core.protocols import Initializer, LayerSignals, Loss, Score, Shape, Targets
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern, Ints
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.seeds import generator


@dataclass(frozen=True)
class Heads:
    """The structure of a network with heads.

    count  number of heads
    trunk  number of layers before the heads
    """

    count: int
    trunk: int

    def wide(self, shapes: Sequence[Shape]) -> list[Shape]:
        """The shapes of the wide layers, given those of a network with one head."""
        first, M = self.trunk, self.count
        return [
            (K, D) if index < first else (M * K, D if index == first else M * D)
            for index, (K, D) in enumerate(shapes)
        ]

    def single(self, shapes: Sequence[Shape]) -> list[Shape]:
        """The shapes of a network with one head, given those of the wide layers."""
        return [
            (K, D) if index < self.trunk else self.block(index, (K, D), 0)[1]
            for index, (K, D) in enumerate(shapes)
        ]

    def block(self, index: int, shape: Shape, number: int) -> tuple[tuple[int, int], Shape]:
        """The first row and column of a head's block in a wide layer, and the block's shape."""
        K, D = shape[0] // self.count, shape[1]
        if index == self.trunk:
            return (number * K, 0), (K, D)
        D //= self.count
        return (number * K, number * D), (K, D)


def part_of(W: CsrMatrix, start: tuple[int, int], shape: Shape) -> CsrMatrix:
    """A block of W, for blocks whose rows have no connections outside the block's columns.

    start  first row and column of the block
    """
    (row, column), (K, _) = start, shape
    indptr = W.indptr[row : row + K + 1]
    own = slice(int(indptr[0]), int(indptr[-1]))
    pattern = CsrPattern(shape, indptr - indptr[0], W.indices[own] - W.indices.dtype.type(column))
    return CsrMatrix(pattern, W.data[own])


def beside(parts: Sequence[tuple[tuple[int, int], CsrMatrix]], shape: Shape) -> CsrMatrix:
    """One matrix made of blocks.

    parts  (first row, first column) and matrix of each block, in the order of their rows
    """
    ends = np.cumsum([0, *(W.nnz for _, W in parts)])
    dtype = parts[0][1].indptr.dtype
    indptr = np.concatenate(
        [[0], *(W.indptr[1:] + at for (_, W), at in zip(parts, ends, strict=False))]
    ).astype(dtype)
    indices = np.concatenate([W.indices + column for (_, column), W in parts]).astype(dtype)
    return CsrMatrix(CsrPattern(shape, indptr, indices), np.concatenate([W.data for _, W in parts]))


# --- the network ---------------------------------------------------------------------


@dataclass(frozen=True)
class TrunkAndHeads:
    """A model whose last layers occur several times, as heads."""

    inner: Any
    heads: Heads

    @property
    def initializer(self) -> Initializer:
        initializer: Initializer = self.inner.initializer
        return initializer

    @property
    def loss(self) -> Loss | None:
        loss: Loss | None = getattr(self.inner, "loss", None)
        return loss

    def shapes(self, features: int, outputs: int) -> list[Shape]:
        return self.heads.wide(self.inner.shapes(features, outputs))

    def network(self, *parts: Any) -> Any:
        return self.inner.network(*parts)


@dataclass(frozen=True)
class MeanLoss:
    """The mean of the heads' losses."""

    inner: Loss
    count: int

    @property
    def targets(self) -> Literal["labels", "vectors", "flags"]:
        return self.inner.targets

    def value(self, Z: Matrix, T: Array) -> float:
        return float(np.mean([self.inner.value(part, T) for part in np.split(Z, self.count)]))

    def value_and_gradient(self, Z: Matrix, T: Array) -> tuple[float, Matrix]:
        values = []
        for part in np.split(Z, self.count):
            value, DZ = self.inner.value_and_gradient(part, T)
            np.divide(DZ, np.float32(self.count), out=part)
            values.append(value)
        return float(np.mean(values)), Z


@dataclass(frozen=True)
class LastHead:
    """The targets of a network with heads, where only the outputs of the last head are scored and
    make predictions."""

    inner: Targets

    @property
    def outputs(self) -> int:
        return self.inner.outputs

    def encode(self, y: Array, where: str) -> Array | None:
        return self.inner.encode(y, where)

    def predict(self, Z: Matrix) -> Array:
        return self.inner.predict(Z[-self.outputs :])

    def score(self) -> Score:
        return _LastScore(self.inner.score(), self.outputs)

    def arrays(self) -> dict[str, Array]:
        return self.inner.arrays()


class _LastScore:
    def __init__(self, inner: Score, outputs: int) -> None:
        self._inner, self._outputs = inner, outputs

    def add(self, Z: Matrix, T: Array) -> None:
        self._inner.add(Z[-self._outputs :], T)

    def values(self) -> dict[str, float]:
        return self._inner.values()


# --- the method ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class OfHeads:
    """An allocation in which each head has the number of connections of a single network, drawn
    separately for each head.

    method  the method of the single network
    """

    method: Any
    heads: Heads

    def counts(
        self, shapes: Sequence[Shape], *, density: float | None, epsilon: float | None
    ) -> list[int]:
        single = self.method.allocated(self.heads.single(shapes), density, epsilon)
        return [
            n if index < self.heads.trunk else n * self.heads.count
            for index, n in enumerate(single)
        ]

    def patterns(self, network: InitialNetwork) -> Iterable[CsrPattern | CsrMatrix]:
        heads = self.heads
        for index, (shape, nnz) in enumerate(zip(network.shapes, network.counts, strict=True)):
            if index < heads.trunk:
                yield random_pattern(shape, nnz, network.rng(index))
                continue
            parts = []
            for number in range(heads.count):
                start, size = heads.block(index, shape, number)
                rng = generator(network.seed, "topology", index, number)
                pattern = random_pattern(size, nnz // heads.count, rng)
                rng = generator(network.seed, "init", index, number)
                values = network.initializer.draw(pattern, pattern.nnz, rng)
                parts.append((start, CsrMatrix(pattern, values)))
            yield beside(parts, shape)


@dataclass(frozen=True, eq=False)
class Split:
    """Presents the heads of a wide layer as separate layers.

    states  the method's state for each head
    """

    heads: Heads
    states: dict[int, State] = field(default_factory=dict)

    def nbytes(self) -> int:
        """Bytes of the state for all heads."""
        return sum(state.nbytes() for state in self.states.values())

    def parts(self, layer: LayerView) -> Iterator[tuple[tuple[int, int], slice, LayerView]]:
        """Yield for each head its first row and column, its connections, and its view."""
        for number in range(self.heads.count):
            start, shape = self.heads.block(layer.index, layer.W.shape, number)
            indptr = layer.W.indptr
            own = slice(int(indptr[start[0]]), int(indptr[start[0] + shape[0]]))
            yield start, own, self._view(layer, number, start, shape, own)

    def _view(
        self, layer: LayerView, number: int, start: tuple[int, int], shape: Shape, own: slice
    ) -> LayerView:
        rows, columns = (slice(at, at + size) for at, size in zip(start, shape, strict=True))
        batch, momentum = layer.batch, layer.load_momentum
        if batch is not None:
            A = None if batch.A is None else batch.A[rows]
            batch = LayerSignals(batch.X[columns], batch.DZ[rows], A)  # type: ignore[index]
        closed = (layer.closed_rows, layer.closed_columns)
        sides = zip(closed, (rows, columns), strict=True)
        out, into = (None if mask is None else mask[side] for mask, side in sides)
        return replace(
            layer,
            load_weights=lambda: part_of(layer.W, start, shape),
            seed=layer.seed + SEEDS * (number + 1),
            state=self.states.setdefault(number, State()),
            batch=batch,
            load_momentum=None if momentum is None else lambda: momentum()[own],
            closed_rows=out,
            closed_columns=into,
        )


SEEDS = 1_000_003
"""The difference between the seeds of two heads."""


@dataclass(frozen=True, eq=False)
class WithinHeads:
    """A grow criterion that is applied to each head separately. The connections to grow are shared
    out among the heads in proportion to what each has lost in this update."""

    inner: Grow
    split: Split

    @property
    def signals(self) -> tuple[Signal, ...]:
        return self.inner.signals

    @property
    def ranks(self) -> bool:
        return self.inner.ranks

    @property
    def scans(self) -> bool:
        return self.inner.scans

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        if layer.index < self.split.heads.trunk:
            return self.inner.candidates(layer, keep, count)
        parts = list(self.split.parts(layer))
        kept = [keep[own] for _, own, _ in parts]
        lost = [int(one.size - one.sum()) for one in kept]
        free = [
            view.W.shape[0] * view.W.shape[1] - int(one.sum())
            for (_, _, view), one in zip(parts, kept, strict=True)
        ]
        shares = share_out(min(count, sum(free)), lost, free)
        found = [
            self.inner.candidates(view, one, share)
            for (_, _, view), one, share in zip(parts, kept, shares, strict=True)
        ]
        placed = list(zip(parts, found, strict=True))
        scores = [one.scores for one in found if one.scores is not None]
        return Candidates(
            np.concatenate([_moved(one.rows, row) for ((row, _), _, _), one in placed]),
            np.concatenate([_moved(one.columns, column) for ((_, column), _, _), one in placed]),
            np.concatenate(scores) if len(scores) == len(found) else None,
        )


@dataclass(frozen=True, eq=False)
class WatchesHeads(WithinHeads):
    """As `WithinHeads`, for a grow criterion that observes every training step."""

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        assert isinstance(self.inner, EveryStep)
        if layer.index < self.split.heads.trunk:
            self.inner.after_backward(layer, X, DZ)
            return
        for (row, column), _, view in self.split.parts(layer):
            K, D = view.W.shape
            inputs: Any = X[column : column + D]  # type: ignore[index]
            self.inner.after_backward(view, inputs, DZ[row : row + K])


@dataclass(frozen=True, eq=False)
class ValuesOfHeads:
    """An initializer for grown connections that is applied to each head separately, as if the head
    were a layer of its own.

    inner  the initializer of a single network; None: the model's
    """

    inner: Initializer | None
    split: Split

    def draw(self, pattern: CsrPattern, count: int, rng: np.random.Generator) -> Vector:
        raise NotImplementedError("values depend on the head")

    def values_at(self, layer: LayerView, keep: Mask, rows: Ints, columns: Ints) -> Vector:
        if layer.index < self.split.heads.trunk:
            return self._values(layer, keep, rows, columns)
        found = []
        for (row, column), own, view in self.split.parts(layer):
            within = slice(*np.searchsorted(rows, (row, row + view.W.shape[0])))
            places = _moved(rows[within], -row), _moved(columns[within], -column)
            found.append(self._values(view, keep[own], *places))
        return np.concatenate(found)

    def _values(self, layer: LayerView, keep: Mask, rows: Ints, columns: Ints) -> Vector:
        initial = layer.initializer if self.inner is None else self.inner
        if isinstance(initial, SetsValues):
            return initial.values_at(layer, keep, rows, columns)
        return initial.draw(layer.W.pattern, rows.size, layer.rng())


def _moved(ends: Ints, by: int) -> Ints:
    moved: Ints = ends + ends.dtype.type(by)
    return moved
