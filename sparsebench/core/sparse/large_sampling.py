"""Draws random positions for many connections, by compiled loops over rows. `compiled.sampling`
explains how positions are proposed; `sampling` calls this module."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask
from sparsebench.core.sparse.compiled import sampling
from sparsebench.core.sparse.csr import NO_MASK, CsrPattern, Ints, index_dtype
from sparsebench.core.sparse.threads import even_parts, row_parts, threads_for


class _Draw:
    """Draws the first `count` free proposals in open rows and columns.

    keep          (nnz,) True for kept connections of the pattern; empty: every position is free
    open_rows     (rows,) numbers of the rows that may be drawn; empty: all K
    open_columns  (columns,) the same for columns
    starts        (K + 1,) where the columns of each row begin in the result
    """

    @np.errstate(over="ignore")
    def __init__(
        self,
        pattern: CsrPattern,
        keep: Mask,
        open_rows: Ints,
        open_columns: Ints,
        count: int,
        rng: np.random.Generator,
    ) -> None:
        """Repeatedly propose as many positions as are still missing, so that never more than
        `count` are accepted."""
        K, D = pattern.shape
        dtype = index_dtype(count)
        bounds = even_parts(K)
        key = rng.integers(2**64, dtype=np.uint64)
        proposals = np.zeros(K, dtype=dtype)
        words = np.zeros((bounds.size - 1, D // 64 + 1), dtype=np.uint64)
        self.starts = np.zeros(K + 1, dtype=dtype)
        self._proposed = (bounds, key, proposals)
        self._where = (open_columns, D, pattern.indptr, pattern.indices, keep)
        self._words = words
        accepted, proposed, missing = self.starts[1:], 0, count
        while missing > 0:
            last = proposed + missing
            sampling.count_proposals(key, proposed, last, open_rows, proposals, accepted)
            sampling.count_accepted(*self._proposed, *self._where, *self._scratch(), accepted)
            proposed, missing = last, count - int(accepted.sum(dtype=np.int64))
        np.cumsum(self.starts, out=self.starts)

    @np.errstate(over="ignore")
    def fill(self, rows: Ints, columns: Ints) -> None:
        """Write the positions in ascending order: columns (count,), and rows (count,) or empty."""
        parts, words = self._words.shape
        summary = np.zeros((parts, words // 64 + 1), dtype=np.uint64)
        arguments = (*self._proposed, *self._where, *self._scratch(), summary)
        sampling.fill_accepted(*arguments, self.starts, rows, columns)

    @np.errstate(over="ignore")
    def fill_others(self, indptr: Ints, columns: Ints) -> None:
        """Write the columns of all positions that were not drawn, in ascending order. Call it only
        if every position was free (`keep` is empty).

        indptr (K + 1,)  where the columns of each row begin        columns (others,)  overwritten
        """
        sampling.fill_others(*self._proposed, self._where[1], *self._scratch(), indptr, columns)

    def _scratch(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """Scratch arrays of each thread: the proposals of a row, and its columns as bits."""
        proposals = self._proposed[2]
        longest = int(proposals.max(initial=0))
        return np.empty((len(self._words), longest), dtype=proposals.dtype), self._words


def random_pattern(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> CsrPattern:
    """As `sampling.random_pattern`. Memory: the pattern, and 4 bytes per row."""
    K, D = shape
    size = K * D
    dtype = index_dtype(nnz)
    none: Ints = np.empty(0, dtype=dtype)
    everywhere = (CsrPattern(shape, none, none), NO_MASK, none, none)
    indices = np.empty(nnz, dtype=dtype)
    with threads_for(nnz):
        if 2 * nnz <= size:
            draw = _Draw(*everywhere, nnz, rng)
            draw.fill(none, indices)
            return CsrPattern(shape, draw.starts, indices)
        draw = _Draw(*everywhere, size - nnz, rng)
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
    """As `sampling.free_positions`. Memory: the result, and 8 bytes per row, or 16 if rows or
    columns are closed."""
    K, D = pattern.shape
    dtype = pattern.indices.dtype
    none: Ints = np.empty(0, dtype=dtype)
    no_rows, no_columns = (NO_MASK if m is None else m for m in (closed_rows, closed_columns))
    closed = (no_rows, no_columns)
    open_rows, open_columns = (np.flatnonzero(~mask).astype(dtype) for mask in closed)
    size = (open_rows.size if no_rows.size else K) * (open_columns.size if no_columns.size else D)
    with threads_for(pattern.nnz):
        taken = int(np.count_nonzero(keep))
        if no_rows.size or no_columns.size:
            bounds = row_parts(pattern.indptr)
            totals = np.zeros(bounds.size - 1, dtype=np.int64)
            sampling.count_taken(bounds, pattern.indptr, pattern.indices, keep, *closed, totals)
            taken = int(totals.sum())
        count = min(count, size - taken)
        if count <= 0:
            return none, none
        if 2 * (taken + count) > size:
            return _lowest_of_free(pattern, keep, count, size - taken, rng, closed)
        draw = _Draw(pattern, keep, open_rows, open_columns, count, rng)
        rows, columns = np.empty(count, dtype=dtype), np.empty(count, dtype=dtype)
        draw.fill(rows, columns)
    return rows, columns


@np.errstate(over="ignore")
def _lowest_of_free(
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    free: int,
    rng: np.random.Generator,
    closed: tuple[Mask, Mask],
) -> tuple[Ints, Ints]:
    """The `count` free positions with the lowest random priorities, in ascending order.

    Histograms of ever lower bits find the limit up to which there are `count` priorities.
    """
    K, D = pattern.shape
    dtype = pattern.indices.dtype
    key = rng.integers(2**64, dtype=np.uint64)
    bounds = even_parts(K)
    where = (bounds, key, D, pattern.indptr, pattern.indices, keep)
    limit = 2**sampling.PRIORITY_BITS
    if count < free:
        prefix, left, shift = 0, count, sampling.PRIORITY_BITS
        within = -1  # free positions whose priority begins with `prefix`
        while left != within:
            shift -= sampling.LEVEL_BITS
            counts = np.zeros((bounds.size - 1, sampling.LEVEL), dtype=np.int64)
            sampling.free_histogram(*where, *closed, shift, prefix, counts)
            total = counts.sum(axis=0)
            upto = total.cumsum()
            chosen = int(np.searchsorted(upto, left))
            within = int(total[chosen])
            left -= int(upto[chosen]) - within
            prefix = prefix << sampling.LEVEL_BITS | chosen
            if shift == 0:
                break
        limit = (prefix + 1 << shift) - 1
    starts = np.zeros(K + 1, dtype=dtype)
    sampling.count_free(*where, *closed, limit, starts[1:])
    np.cumsum(starts, out=starts)
    rows, columns = np.empty(starts[-1], dtype=dtype), np.empty(starts[-1], dtype=dtype)
    sampling.fill_free(*where, closed[1], limit, starts, rows, columns)
    return rows[:count], columns[:count]  # more only if two priorities are the same
