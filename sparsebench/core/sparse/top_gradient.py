"""The largest gradients among positions without a connection, in memory of what is found.

The dense gradient DW = DZ X^T is made in tiles, and the best so far are kept: time K D N, memory
one tile and three numbers for each of twice `count` positions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Matrix, Vector
from sparsebench.core.sparse.compiled import gradients
from sparsebench.core.sparse.csr import NOTHING, CsrPattern, Ints
from sparsebench.core.sparse.positions import best

TILE = 2**16
"""Entries of a tile, 256 KiB: it stays in the second cache between the product and the look."""


class _Best:
    """The `count` highest scores so far; of equal ones the earlier. They come in rising order."""

    def __init__(self, count: int, dtype: npt.DTypeLike) -> None:
        self._count = count
        self._parts = [_part(0, dtype)]
        self._size = 0
        self.limit = np.float32(-1.0)

    def add(self, rows: Ints, columns: Ints, scores: Vector) -> None:
        if scores.size:
            self._parts.append((rows.copy(), columns.copy(), scores.copy()))
            self._size += scores.size
            if self._size > 2 * self._count:
                self._shrink()

    def result(self) -> tuple[Ints, Ints, Vector]:
        self._shrink()
        return self._parts[0]

    def _shrink(self) -> None:
        rows, columns, scores = (np.concatenate(arrays) for arrays in zip(*self._parts))
        if scores.size >= self._count > 0:
            rows, columns, scores = best(rows, columns, scores, self._count)
            self.limit = scores.min()
        self._parts = [(rows, columns, scores)]
        self._size = scores.size


def largest_free_gradients(
    X: Matrix,
    DZ: Matrix,
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    closed_rows: Mask | None = None,
    closed_columns: Mask | None = None,
) -> tuple[Ints, Ints, Vector]:
    """Rows, columns and |DW| of the `count` largest, at positions in rising order.

    X (D, N), DZ (K, N)  of one mini-batch
    keep                 (nnz,) of the pattern's connections; those dropped are free
    closed_rows          (K,) what may not grow; likewise closed_columns (D,)

    Of equal gradients the earlier position is taken; a NaN never is. Gives fewer than `count` if
    fewer positions are free.
    """
    dtype = pattern.indices.dtype
    found = _Best(max(count, 0), dtype)
    if count <= 0:
        return found.result()
    no_rows, no_columns = (NOTHING if m is None else m for m in (closed_rows, closed_columns))
    rows, columns, scores = _part(TILE, dtype)
    tile = np.empty(TILE, dtype=np.float32)
    for r0, r1, c0, c1 in _tiles(*pattern.shape):
        G = tile[: (r1 - r0) * (c1 - c0)].reshape(r1 - r0, c1 - c0)
        np.matmul(DZ[r0:r1], X[c0:c1].T, out=G)
        n = gradients.collect_above(
            G, r0, c0, pattern.indptr, pattern.indices, keep, no_rows, no_columns, found.limit,
            rows, columns, scores,
        )  # fmt: skip
        found.add(rows[:n], columns[:n], scores[:n])
    return found.result()


def _tiles(K: int, D: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows r0:r1 and columns c0:c1 of each tile. Their positions rise from tile to tile: a tile of
    several rows has all columns."""
    width = min(D, TILE)
    height = max(1, TILE // width)
    for r0 in range(0, K, height):
        for c0 in range(0, D, width):
            yield r0, min(K, r0 + height), c0, min(D, c0 + width)


def _part(size: int, dtype: npt.DTypeLike) -> tuple[Ints, Ints, Vector]:
    return (
        np.empty(size, dtype=dtype),
        np.empty(size, dtype=dtype),
        np.empty(size, dtype=np.float32),
    )
