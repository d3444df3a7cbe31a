"""The connections by blocks of rows and columns: the order of batches of 1 to 8."""

from __future__ import annotations

from math import ceil, isqrt, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrPattern, Ints
from sparsebench_plugins.backends.numba_csr import block_order_kernels as kernels
from sparsebench_plugins.backends.numba_csr.column_order import Bounds, chunks

SIDE = 12_288
"""Neurons along a block: at batch 2 the activations and gradients it gathers and adds to are
200 KB, which fits a second cache beside what streams through."""

LONGEST = 32_000
"""No block is longer on average, so that none outgrows numbers of 16 bits."""

FILLED = 1024
"""Connections that a block should have, for its loop to be worth starting."""

SHARES = (16, 4)
"""Blocks along the rows and along the columns of a layer that would fit one, if it has the
connections for them: threads share them. Fewer along the columns, for rows are summed at once."""

FEWEST = 8
"""Neurons that a block has at least: below, blocks cost more than they give threads to share."""


def sides(pattern: CsrPattern) -> tuple[int, int]:
    """How many blocks there are along the rows and along the columns. By sizes alone, because
    the order of sums, and so the bits of a result, depend on it."""
    fills = (pattern.nnz // (4 * FILLED), isqrt(pattern.nnz // (8 * FILLED)))
    shares = [min(most, filled) for most, filled in zip(SHARES, fills, strict=True)]
    wanted = [
        max(1, min(max(ceil(n / SIDE), share), n // FEWEST))
        for n, share in zip(pattern.shape, shares, strict=True)
    ]
    crowd = max(1.0, sqrt(wanted[0] * wanted[1] * FILLED / max(1, pattern.nnz)))
    rows, columns = (
        max(1, ceil(count / crowd), ceil(n / LONGEST))
        for count, n in zip(wanted, pattern.shape, strict=True)
    )
    return rows, columns


class ByBlock:
    """A pattern's connections in blocks, and arrays between this order and csr.

    row_cuts (R + 1,), column_cuts (C + 1,)  bounds of the blocks' neurons
    starts (R C + 1,)                        of the blocks' connections, C blocks after another
    rows, columns (nnz,) uint16              of each connection, counted from its block's first

    Within a block rows with few connections come first, and those of one row together: the loop
    over a row's connections then ends where the processor expects it to, and each sum is read
    and written once.
    These two arrays replace csr's columns, which `pattern` makes again. All in O(nnz).
    """

    def __init__(self, pattern: CsrPattern) -> None:
        (K, D), nnz = pattern.shape, pattern.nnz
        R, C = sides(pattern)
        self.indptr = pattern.indptr
        self._shape, self._index = pattern.shape, pattern.indices.dtype
        # a row weighs as much as its connections do on average: none is longer than twice that
        self.row_cuts = chunks(pattern.indptr, R, row_weight=max(1, ceil(nnz / K)))
        self.column_cuts: Bounds = np.arange(C + 1, dtype=np.int64) * D // C
        block_of = np.repeat(np.arange(C, dtype=np.int32), np.diff(self.column_cuts))
        self.starts: Bounds = np.zeros(R * C + 1, dtype=np.int64)
        self.rows = np.empty(nnz, dtype=np.uint16)
        self.columns = np.empty(nnz, dtype=np.uint16)
        kernels.fill(
            self.row_cuts, self.column_cuts, block_of, pattern.indptr, pattern.indices,
            self.starts, self.rows, self.columns,
        )  # fmt: skip

    @property
    def blocks(self) -> tuple[Bounds, Bounds, Bounds, npt.NDArray[np.uint16], Any]:
        """What kernels take."""
        return self.row_cuts, self.column_cuts, self.starts, self.rows, self.columns

    def arranged(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A (nnz,) array in csr order, by blocks."""
        out = np.empty_like(array)
        kernels.from_csr(self.row_cuts, self.starts, self.rows, self.indptr, array, out)
        return out

    def put_back(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A (nnz,) array by blocks, in csr order."""
        out = np.empty_like(array)
        kernels.to_csr(self.row_cuts, self.starts, self.rows, self.indptr, array, out)
        return out

    def pattern(self) -> CsrPattern:
        indices: Ints = np.empty(self.rows.size, dtype=self._index)
        kernels.columns_to_csr(*self.blocks, self.indptr, indices)
        return CsrPattern(self._shape, self.indptr, indices)

    @property
    def nbytes(self) -> int:
        """Beside `indptr`, which is the pattern's."""
        return sum(int(array.nbytes) for array in self.blocks)
