"""Drawing positions for connections: exact, without replacement, in O(count) memory.

Positions are proposed in a fixed random order, and the first so many that can be had are
taken. The order depends on nothing but the shape and a 64-bit key from the generator, so every
set is equally likely, and one position more or less that is taken changes one choice and not
all that follow: backends whose rounding differs stay together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask
from sparsebench.core.sparse.compiled import drawing, walking
from sparsebench.core.sparse.csr import NOTHING, CsrPattern, Ints, index_dtype
from sparsebench.core.sparse.parts import even_parts, row_parts, threads_for

WIDEST = 2**31 - 1
"""Rows or columns of a layer."""


@dataclass(frozen=True)
class Space:
    """Positions to draw from: those of open rows and columns where no connection is kept.

    pattern       (K, D)
    keep          (nnz,) of its connections; empty: no position is taken
    open_rows     (rows,) numbers of the rows that may be drawn; empty: all K
    open_columns  (columns,) likewise
    """

    pattern: CsrPattern
    keep: Mask
    open_rows: Ints
    open_columns: Ints


class Draw:
    """The first `count` positions of the order that can be had.

    starts  (K + 1,)  where the columns of each row begin in the result
    """

    def __init__(self, space: Space, count: int, rng: np.random.Generator) -> None:
        K, D = space.pattern.shape
        dtype = index_dtype(count)
        bounds = even_parts(K)
        self.starts = np.zeros(K + 1, dtype=dtype)
        self._key = rng.integers(2**64, dtype=np.uint64)
        self._proposals = np.zeros(K, dtype=dtype)
        self._words = np.zeros((bounds.size - 1, D // 64 + 1), dtype=np.uint64)
        self._proposed = (bounds, self._key, self._proposals)
        self._columns = (space.open_columns, D)
        self._taken = (space.pattern.indptr, space.pattern.indices, space.keep)
        self._propose(space.open_rows, count)
        np.cumsum(self.starts, out=self.starts)

    @np.errstate(over="ignore")
    def _propose(self, open_rows: Ints, count: int) -> None:
        """Propose what is missing until nothing is, so that it is never too much. Puts what
        each row gets into `starts`."""
        accepted, proposed, missing = self.starts[1:], 0, count
        while missing > 0:
            last = proposed + missing
            drawing.count_proposals(self._key, proposed, last, open_rows, self._proposals, accepted)
            drawing.count_accepted(
                *self._proposed, *self._columns, *self._taken, *self._scratch(), accepted
            )
            proposed, missing = last, count - int(accepted.sum(dtype=np.int64))

    @np.errstate(over="ignore")
    def fill(self, rows: Ints, columns: Ints) -> None:
        """The positions, rising: columns (count,), and rows (count,) or empty."""
        parts, words = self._words.shape
        summary = np.zeros((parts, words // 64 + 1), dtype=np.uint64)
        given = (*self._proposed, *self._columns, *self._taken, *self._scratch())
        drawing.fill_accepted(*given, summary, self.starts, rows, columns)

    @np.errstate(over="ignore")
    def fill_others(self, indptr: Ints, columns: Ints) -> None:
        """The columns of all other positions, rising, where nothing is taken or closed."""
        drawing.fill_others(*self._proposed, self._columns[1], *self._scratch(), indptr, columns)

    def _scratch(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """Room for the proposals of a row, and for its columns as bits, in each part."""
        longest = int(self._proposals.max(initial=0))
        return np.empty((len(self._words), longest), dtype=self._proposals.dtype), self._words


def random_pattern(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> CsrPattern:
    """`nnz` connections, every set of positions equally likely.

    Above half density what is left out is drawn. Memory: the pattern, and 4 bytes a row.
    """
    K, D = shape
    size = K * D
    if not 0 <= nnz <= size or max(shape) > WIDEST:
        raise ValueError(f"cannot draw {nnz} distinct positions of {K} x {D}")
    if nnz == size:
        return CsrPattern.full(shape)
    dtype = index_dtype(nnz)
    none: Ints = np.empty(0, dtype=dtype)
    space = Space(CsrPattern(shape, none, none), NOTHING, none, none)
    indices = np.empty(nnz, dtype=dtype)
    with threads_for(nnz):
        if 2 * nnz <= size:
            draw = Draw(space, nnz, rng)
            draw.fill(none, indices)
            return CsrPattern(shape, draw.starts, indices)
        draw = Draw(space, size - nnz, rng)
        indptr = (np.arange(K + 1, dtype=np.int64) * D - draw.starts).astype(dtype)
        draw.fill_others(indptr, indices)
    return CsrPattern(shape, indptr, indices)


def free_positions(
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    rng: np.random.Generator,
    closed_rows: Mask | None = None,
    closed_columns: Mask | None = None,
) -> tuple[Ints, Ints]:
    """Rows and columns of `count` positions that are not kept and not closed, rising.

    keep            (nnz,) of the pattern's connections; those dropped are free
    closed_rows     (K,) output neurons that get no connection; likewise closed_columns (D,)

    Every set of free positions is equally likely. Gives fewer than `count` if fewer are free.
    Memory: the result, and 8 bytes a row, or 16 where something is closed. Where less than half
    of the open positions is free all of them are walked, which is O(nnz) too.
    """
    K, D = pattern.shape
    dtype = pattern.indices.dtype
    none: Ints = np.empty(0, dtype=dtype)
    closed = tuple(NOTHING if mask is None else mask for mask in (closed_rows, closed_columns))
    open_rows, open_columns = (np.flatnonzero(~mask).astype(dtype) for mask in closed)
    size = (open_rows.size if closed[0].size else K) * (open_columns.size if closed[1].size else D)
    with threads_for(pattern.nnz):
        taken = _taken(pattern, keep, *closed)
        count = min(count, size - taken)
        if count <= 0:
            return none, none
        if 2 * (taken + count) > size:
            return _lowest_of_free(pattern, keep, count, size - taken, rng, *closed)
        draw = Draw(Space(pattern, keep, open_rows, open_columns), count, rng)
        rows, columns = np.empty(count, dtype=dtype), np.empty(count, dtype=dtype)
        draw.fill(rows, columns)
    return rows, columns


def _taken(pattern: CsrPattern, keep: Mask, closed_rows: Mask, closed_columns: Mask) -> int:
    """Kept connections in open rows and columns."""
    if not closed_rows.size and not closed_columns.size:
        return int(np.count_nonzero(keep))
    bounds = row_parts(pattern.indptr)
    totals = np.zeros(bounds.size - 1, dtype=np.int64)
    walking.count_taken(
        bounds, pattern.indptr, pattern.indices, keep, closed_rows, closed_columns, totals
    )
    return int(totals.sum())


@np.errstate(over="ignore")
def _lowest_of_free(
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    free: int,
    rng: np.random.Generator,
    closed_rows: Mask,
    closed_columns: Mask,
) -> tuple[Ints, Ints]:
    """The `count` of all free positions with the lowest random priorities, rising."""
    K, D = pattern.shape
    dtype = pattern.indices.dtype
    key = rng.integers(2**64, dtype=np.uint64)
    bounds = even_parts(K)
    of = (bounds, key, D, pattern.indptr, pattern.indices, keep)
    closed = (closed_rows, closed_columns)
    limit = 2**walking.PRIORITY_BITS
    if count < free:
        limit = _limit(count, of, closed)
    starts = np.zeros(K + 1, dtype=dtype)
    walking.count_free(*of, *closed, limit, starts[1:])
    np.cumsum(starts, out=starts)
    rows, columns = np.empty(starts[-1], dtype=dtype), np.empty(starts[-1], dtype=dtype)
    walking.fill_free(*of, closed_columns, limit, starts, rows, columns)
    return rows[:count], columns[:count]  # more only if two priorities are the same


def _limit(
    count: int,
    of: tuple[npt.NDArray[np.int64], np.uint64, int, Ints, Ints, Mask],
    closed: tuple[Mask, Mask],
) -> int:
    """The priority up to which there are `count`: bits of it by histograms, until it is clear."""
    prefix, left = 0, count
    for shift in range(walking.PRIORITY_BITS - walking.LEVEL_BITS, -1, -walking.LEVEL_BITS):
        counts = np.zeros((of[0].size - 1, walking.LEVEL), dtype=np.int64)
        walking.free_histogram(*of, *closed, shift, prefix, counts)
        upto = counts.sum(axis=0).cumsum()
        bin_ = int(np.searchsorted(upto, left))
        left -= int(upto[bin_ - 1]) if bin_ > 0 else 0
        prefix = prefix << walking.LEVEL_BITS | bin_
        if left == upto[bin_] - (upto[bin_ - 1] if bin_ > 0 else 0):
            break
    return (prefix + 1 << shift) - 1
