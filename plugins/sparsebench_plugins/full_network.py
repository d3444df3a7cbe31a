"""A full network that is never stored: its weights are drawn again for each pass, one tile of rows
at a time.

For allocations that score every position once before training. A pass takes the time of a dense
network, and memory for the neurons, one tile and the best positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.methods.initial import InitialNetwork
from sparsebench.core.sizes import Shape
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.seeds import generator

TILE = 2**18
"""The number of positions in a tile."""

Keys = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Full:
    """A pattern with all connections, with only the properties that an initializer reads."""

    shape: Shape

    @property
    def nnz(self) -> int:
        return self.shape[0] * self.shape[1]


class StreamedLayer:
    """Z = s (W + c V) X, where W (K, D) is drawn in tiles of rows, and V is the gradient of an
    earlier pass, or 0.

    scale      s
    step       c
    X, DZ      (D, N) and (K, N) of the last `backward`: the gradient of W is DZ X^T
    direction  X and DZ of the pass whose gradient V is; None: V is 0
    """

    def __init__(self, network: InitialNetwork, index: int) -> None:
        self.shape = network.shapes[index]
        self.scale, self.step = 1.0, 0.0
        self.direction: tuple[Matrix, Matrix] | None = None
        self._network, self._index = network, index

    def tiles(self) -> Iterator[tuple[slice, Matrix]]:
        """Yield ranges of rows, with the initial weights of all their positions."""
        K, D = self.shape
        height = max(1, TILE // D)
        for number, first in enumerate(range(0, K, height)):
            rows = slice(first, min(K, first + height))
            rng = generator(self._network.seed, "init", self._index, number)
            pattern: Any = _Full(self.shape)
            values = self._network.initializer.draw(pattern, (rows.stop - first) * D, rng)
            yield rows, values.reshape(-1, D)

    def forward(self, X: Matrix, Z: Matrix) -> None:
        for rows, W in self._moved():
            Z[rows] = W @ X
        Z *= np.float32(self.scale)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        self.X: Matrix = np.array(X)
        self.DZ: Matrix = (self.scale * DZ).astype(np.float32)
        if DX is not None:
            DX[...] = 0
            for rows, W in self._moved():
                DX += W.T @ self.DZ[rows]

    def gradients_by_tile(self) -> Iterator[tuple[slice, Matrix, Matrix]]:
        """Yield ranges of rows, with their weights and the gradients of the last `backward`."""
        for rows, W in self.tiles():
            G: Matrix = self.DZ[rows] @ self.X.T
            yield rows, W, G

    def _moved(self) -> Iterator[tuple[slice, Matrix]]:
        for rows, W in self.tiles():
            if self.direction is not None:
                X, DZ = self.direction
                W = W + np.float32(self.step) * (DZ[rows] @ X.T)
            yield rows, W

    def chosen(self, keys: Keys) -> CsrMatrix:
        """The connections at these ascending positions, with their initial weights."""
        D = self.shape[1]
        values = np.empty(keys.size, dtype=np.float32)
        for rows, W in self.tiles():
            first, last = np.searchsorted(keys, (rows.start * D, rows.stop * D))
            values[first:last] = W.ravel()[keys[first:last] - rows.start * D]
        return CsrMatrix(CsrPattern.from_keys(self.shape, keys), values)


class BestOfAll:
    """Collects the `count` positions with the highest scores over all layers, at least one of each
    layer.

    Among equal scores the earlier position wins; NaN counts as the lowest score. Memory: 2 times
    the kept positions, and one tile.
    """

    def __init__(self, layers: int, count: int) -> None:
        self._count = max(layers, count)
        self._first: list[tuple[np.float64, int] | None] = [None] * layers
        self._parts: list[tuple[npt.NDArray[np.int32], Keys, npt.NDArray[np.float64]]] = []
        self._limit, self._size = -np.inf, 0

    def add(self, layer: int, start: int, scores: npt.NDArray[Any]) -> None:
        """Add the scores of the positions from `start` = row D + column on."""
        flat = np.asarray(scores, dtype=np.float64).ravel()
        if np.isnan(flat).any():
            flat = np.nan_to_num(flat, nan=-np.inf)
        top = int(np.argmax(flat))
        known = self._first[layer]
        if known is None or flat[top] > known[0]:
            self._first[layer] = flat[top], start + top
        at = np.flatnonzero(flat > self._limit)
        self._parts.append((np.full(at.size, layer, dtype=np.int32), at + start, flat[at]))
        self._size += at.size
        if self._size > 2 * self._count:
            self._shorten()

    def _shorten(self) -> None:
        layers, keys, scores = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        order = np.sort(np.argsort(-scores, kind="stable")[: self._count])
        self._parts = [(layers[order], keys[order], scores[order])]
        self._size = order.size
        if order.size == self._count:
            self._limit = float(scores[order].min())

    def positions(self) -> list[Keys]:
        """The positions of each layer, ascending."""
        self._shorten()
        ((layers, keys, scores),) = self._parts
        counts = np.bincount(layers, minlength=len(self._first))
        drop = np.zeros(keys.size, dtype=bool)
        weakest = iter(np.argsort(scores, kind="stable"))
        for _ in range(int((counts == 0).sum()) if keys.size == self._count else 0):
            at = next(at for at in weakest if counts[layers[at]] > 1)
            drop[at] = True
            counts[layers[at]] -= 1
        found = [np.sort(keys[(layers == index) & ~drop]) for index in range(counts.size)]
        return [
            own if own.size or first is None else np.array([first[1]])
            for own, first in zip(found, self._first, strict=True)
        ]


def layers_of(network: InitialNetwork) -> list[StreamedLayer]:
    return [StreamedLayer(network, index) for index in range(len(network.shapes))]


def best_of(layers: Sequence[StreamedLayer], count: int, score: Any) -> list[CsrMatrix]:
    """The `count` best positions of all layers with their weights.

    score  called with a layer's index and each tile's rows, weights and gradient
    """
    best = BestOfAll(len(layers), count)
    for index, layer in enumerate(layers):
        for rows, W, G in layer.gradients_by_tile():
            best.add(index, rows.start * layer.shape[1], score(index, rows, W, G))
    return [layer.chosen(keys) for layer, keys in zip(layers, best.positions(), strict=True)]


def full_weights(layer: StreamedLayer) -> Vector:
    """All K D weights of the layer, for a dense phase."""
    return np.concatenate([W.ravel() for _, W in layer.tiles()])
