"""Changes of patterns with many connections, by compiled loops over rows. `small_layers` has the
same for few connections."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask
from sparsebench.core.sparse.compiled import changes
from sparsebench.core.sparse.threads import even_parts, row_parts, threads_for

Ints = npt.NDArray[Any]


class Merge:
    """Merges the kept and the grown connections of a layer, row by row. The attributes are those of
    `small_layers.Merge`.

    Of the old pattern it keeps only indptr, so that the caller can free the columns.
    """

    def __init__(
        self, indptr: Ints, indices: Ints, keep: Mask, rows: Ints, columns: Ints, dtype: type[Any]
    ) -> None:
        self._old = indptr, keep, rows, columns
        self.indptr = np.zeros(indptr.size, dtype=dtype)
        self.indices = np.empty(int(np.count_nonzero(keep)) + rows.size, dtype=dtype)
        with threads_for(indices.size):
            grown_bounds = even_parts(rows.size)
            falls = np.zeros(grown_bounds.size - 1, dtype=bool)
            changes.find_falls(grown_bounds, rows, columns, falls)
            self.falls, self.clashes = bool(falls.any()), False
            if self.falls:
                return
            self._bounds = row_parts(indptr)
            taken = np.zeros(self._bounds.size - 1, dtype=bool)
            changes.count_merged(self._bounds, indptr, keep, rows, self.indptr[1:])
            np.cumsum(self.indptr, out=self.indptr)
            changes.merge_columns(
                self._bounds, indptr, indices, keep, rows, columns, self.indptr, self.indices, taken
            )
            self.clashes = bool(taken.any())

    def carry(self, old: npt.NDArray[Any], grown: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(new nnz,) the old values of kept connections and the values of grown ones.

        old (nnz,)        grown (grown,), or a scalar for all grown connections
        """
        new = np.empty(self.indices.size, dtype=old.dtype)
        bits = np.dtype(f"u{old.itemsize}")
        step = 0 if grown.ndim == 0 else 1
        values = np.ascontiguousarray(old).view(bits)
        fresh = np.atleast_1d(grown).view(bits)
        with threads_for(old.size):
            merged = self.indptr, self.indices
            changes.carry(self._bounds, *self._old, *merged, values, fresh, step, new.view(bits))
        return new
