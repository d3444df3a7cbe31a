"""Draws positions for connections: the exact number, without replacement, in O(count) memory.

Positions are proposed in a random order, and the first `count` free ones are taken. The order
depends only on the rows and columns that may be drawn and on a 64-bit key from the generator, so
every set is equally likely.
If one more or one fewer position is free, only one choice changes and not all that follow. Two
backends whose rounding differs therefore keep nearly the same topology.
"""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Mask
from sparsebench.core.sparse import small_layers
from sparsebench.core.sparse.csr import CsrPattern, Ints

WIDEST = 2**31 - 1
"""The most rows or columns of a layer."""


def random_pattern(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> CsrPattern:
    """`nnz` connections; every set of positions is equally likely.

    Above half density, the positions without a connection are drawn instead.
    """
    K, D = shape
    size = K * D
    if not 0 <= nnz <= size or max(shape) > WIDEST:
        raise ValueError(f"cannot draw {nnz} distinct positions of {K} x {D}")
    if nnz == size:
        return CsrPattern.full(shape)
    if not small_layers.is_small(nnz, *shape):
        from sparsebench.core.sparse import large_sampling

        return large_sampling.random_pattern(shape, nnz, rng)
    key = rng.integers(2**64, dtype=np.uint64)
    nowhere = np.empty(0, dtype=np.int64)
    anywhere = (nowhere, np.arange(K), np.arange(D))
    if 2 * nnz <= size:
        return CsrPattern.from_keys(shape, small_layers.drawn(key, shape, *anywhere, nnz))
    others = small_layers.drawn(key, shape, *anywhere, size - nnz)
    return CsrPattern.from_keys(shape, small_layers.complement(others, size))


def free_positions(
    pattern: CsrPattern,
    keep: Mask,
    count: int,
    rng: np.random.Generator,
    closed_rows: Mask | None = None,
    closed_columns: Mask | None = None,
) -> tuple[Ints, Ints]:
    """Rows and columns of `count` free positions that are not closed, in ascending order.

    keep            (nnz,) False for the pattern's dropped connections, whose positions are free
    closed_rows     (K,) True for output neurons that must get no connection
    closed_columns  (D,) the same for input neurons

    Every set of free positions is equally likely. Returns fewer than `count` if fewer are free. If
    more than half of the positions that are not closed would then be taken, all of them are
    visited, which is O(nnz) too.
    """
    K, D = pattern.shape
    if not small_layers.is_small(pattern.nnz, count, K, D):
        from sparsebench.core.sparse import large_sampling

        return large_sampling.free_positions(pattern, keep, count, rng, closed_rows, closed_columns)
    rows, columns = (
        np.arange(n) if closed is None else np.flatnonzero(~closed)
        for n, closed in ((K, closed_rows), (D, closed_columns))
    )
    taken = pattern.keys()[keep & pattern.outside(closed_rows, closed_columns)]
    size = rows.size * columns.size
    count = min(count, size - taken.size)
    found = np.empty(0, dtype=np.int64)
    if count > 0:
        key = rng.integers(2**64, dtype=np.uint64)
        crowded = 2 * (taken.size + count) > size
        choose = small_layers.lowest_of_free if crowded else small_layers.drawn
        found = choose(key, pattern.shape, taken, rows, columns, count)
    dtype = pattern.indices.dtype
    return (found // D).astype(dtype), (found % D).astype(dtype)
