"""Arranges connections by column, moves arrays between this order and csr, and divides work into
chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrPattern, Ints
from sparsebench.core.sparse.threads import even_parts, row_parts, threads_for
from sparsebench_plugins.backends.numba_csr.order_kernels import (
    by_column,
    by_row,
    count_columns,
    place_by_column,
    start_columns,
)

CHUNKS = 64
"""Chunks of a large batch: enough to be shared evenly by many threads, and few enough that their
overhead is small. A constant, so that results do not depend on the number of threads."""

Bounds = npt.NDArray[np.int64]


def chunks(indptr: Ints, count: int = CHUNKS, row_weight: int = 1) -> Bounds:
    """(count + 1,) bounds that divide the rows into chunks with about equal numbers of connections.

    row_weight  the work for a row itself, in connections, because empty rows are written too
    """
    rows = indptr.size - 1
    weight = indptr.astype(np.int64) + row_weight * np.arange(rows + 1)
    goals = np.linspace(0, weight[-1], count + 1)
    return np.searchsorted(weight, goals).astype(np.int64)


class ByColumn:
    """A pattern's connections ordered by column, with ascending rows in each column.

    indptr (D + 1,)   rows (nnz,)
    place (nnz,)      for each connection in csr order, its index in this order
    chunks            bounds that divide the columns into chunks of about equal work
    widest            the largest number of connections of a column
    """

    def __init__(self, pattern: CsrPattern) -> None:
        D, dtype = pattern.shape[1], pattern.indices.dtype
        self.indptr = np.zeros(D + 1, dtype=dtype)
        self.rows = np.empty(pattern.nnz, dtype=dtype)
        self.place = np.empty(pattern.nnz, dtype=dtype)
        with threads_for(pattern.nnz):  # a counting sort, stable, over parts of the rows
            parts = row_parts(pattern.indptr)
            starts = np.zeros((parts.size - 1, D), dtype=dtype)
            count_columns(parts, pattern.indptr, pattern.indices, starts)
            start_columns(starts, self.indptr)
            place_by_column(parts, pattern.indptr, pattern.indices, starts, self.rows, self.place)
        self.chunks = chunks(self.indptr)
        self.widest = int(np.diff(self.indptr).max(initial=0))

    def arranged(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (nnz,) in csr order, rearranged by column."""
        out = np.empty_like(array)
        with threads_for(array.size):
            by_column(even_parts(array.size), array, self.place, out)
        return out

    def put_back(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array (nnz,) by column, rearranged to csr order."""
        out = np.empty_like(array)
        self.fill_by_row(array, out)
        return out

    def fill_by_row(self, array: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """out (nnz,) = the result of `put_back`."""
        with threads_for(array.size):
            by_row(even_parts(array.size), array, self.place, out)

    @property
    def nbytes(self) -> int:
        arrays = (self.indptr, self.rows, self.place)
        return sum(int(array.nbytes) for array in arrays)
