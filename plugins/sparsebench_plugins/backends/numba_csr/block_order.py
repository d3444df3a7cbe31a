"""Arranges connections in blocks of rows and columns, the order for batches of 1 to 8 samples."""

from __future__ import annotations

from math import ceil, isqrt, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrPattern, Ints
from sparsebench_plugins.backends.numba_csr import block_order_kernels as kernels
from sparsebench_plugins.backends.numba_csr.column_order import Bounds, chunks

SIDE = 12_288
"""The most rows, and the most columns, that a block of a large layer should have. At batch 2, the
activations and gradients that such a block gathers and adds to are 200 KB, which fits into an L2
cache beside the streamed connections."""

LONGEST = 32_000
"""The most rows, and the most columns, that blocks have on average, so that no block has more than
16 bits can number."""

FILLED = 1024
"""The least number of connections that a block should have, because starting a loop takes time."""

SHARES = (16, 4)
"""The number of blocks along the rows and along the columns of a layer that is small enough for one
block but has enough connections, so that threads can share the blocks. There are fewer along the
columns, because whole rows are summed at once."""

FEWEST = 8
"""The least number of rows, and of columns, of a block: smaller blocks cost more time than threads
save."""


def sides(pattern: CsrPattern) -> tuple[int, int]:
    """(R, C): the numbers of blocks along the rows and along the columns. They depend only on the
    sizes of the layer, and not on the machine, because the order of sums depends on them."""
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
    """A pattern's connections in blocks, with methods that move arrays between this order and csr.

    row_cuts (R + 1,), column_cuts (C + 1,)  bounds of the blocks' neurons
    starts (R C + 1,)                        where the connections of each block begin; the C blocks
                                             of a row of blocks follow each other
    rows, columns (nnz,) uint16              row and column of each connection, counted from the
                                             first of its block

    Within a block, rows are sorted by their number of connections, the fewest first, and the
    connections of one row are consecutive. The processor then predicts where the loop over a row
    ends, and each sum is read and written once. `rows` and `columns` replace the columns of csr,
    which `pattern` recomputes in O(nnz).
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
        """The arrays that kernels take."""
        return self.row_cuts, self.column_cuts, self.starts, self.rows, self.columns

    def arranged(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (nnz,) in csr order, rearranged by blocks."""
        out = np.empty_like(array)
        kernels.reorder(self.row_cuts, self.starts, self.rows, self.indptr, True, array, out)
        return out

    def put_back(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (nnz,) by blocks, rearranged to csr order."""
        out = np.empty_like(array)
        kernels.reorder(self.row_cuts, self.starts, self.rows, self.indptr, False, array, out)
        return out

    def pattern(self) -> CsrPattern:
        indices: Ints = np.empty(self.rows.size, dtype=self._index)
        kernels.columns_to_csr(*self.blocks, self.indptr, indices)
        return CsrPattern(self._shape, self.indptr, indices)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, without `indptr`, which belongs to the pattern."""
        return sum(int(array.nbytes) for array in self.blocks)
