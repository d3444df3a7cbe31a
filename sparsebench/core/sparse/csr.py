"""Sparse matrices in canonical CSR, and changes of their topology.

A row holds one output neuron's incoming connections, its columns sorted and unique.
Nothing here allocates or walks K x D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse import small_layers

Ints = npt.NDArray[Any]
Keys = npt.NDArray[np.int64]

NO_MASK: Mask = np.empty(0, dtype=bool)
"""An empty mask, which the compiled loops understand as no mask."""


class TopologyError(ValueError):
    """Raised if an invariant of a sparse matrix does not hold."""


def index_dtype(nnz: int) -> type[np.int32] | type[np.int64]:
    """int32 if it can count the connections, else int64."""
    return np.int32 if nnz < 2**31 else np.int64


@dataclass(frozen=True)
class CsrPattern:
    """The positions of a (K, D) layer's connections.

    shape    (K, D)
    indptr   (K + 1,)
    indices  (nnz,)  columns, sorted and unique in each row
    """

    shape: tuple[int, int]
    indptr: Ints
    indices: Ints

    @property
    def nnz(self) -> int:
        return int(self.indices.size)

    @property
    def density(self) -> float:
        """nnz / (K D)."""
        return self.nnz / (self.shape[0] * self.shape[1])

    @property
    def rows(self) -> Ints:
        """(nnz,) the row of each connection. Computed on each access: keep it if used twice."""
        return np.repeat(np.arange(self.shape[0], dtype=self.indices.dtype), np.diff(self.indptr))

    def keys(self) -> Keys:
        """(nnz,) row D + column of each connection, strictly ascending. For small layers."""
        return self.rows.astype(np.int64) * self.shape[1] + self.indices

    @classmethod
    def from_keys(cls, shape: tuple[int, int], keys: Keys) -> CsrPattern:
        """A pattern from positions row D + column, strictly ascending."""
        K, D = shape
        dtype = index_dtype(keys.size)
        bounds = np.arange(K + 1, dtype=np.int64) * D
        indptr = np.searchsorted(keys, bounds).astype(dtype)
        return cls(shape, indptr, (keys % D).astype(dtype))

    @classmethod
    def full(cls, shape: tuple[int, int]) -> CsrPattern:
        """A pattern with a connection at every position."""
        K, D = shape
        dtype = index_dtype(K * D)
        indptr = np.arange(0, K * D + 1, D, dtype=dtype)
        return cls(shape, indptr, np.tile(np.arange(D, dtype=dtype), K))

    def in_degrees(self) -> Ints:
        """(K,) connections into each output neuron."""
        return np.diff(self.indptr)

    def out_degrees(self) -> Ints:
        """(D,) connections out of each input neuron."""
        return np.bincount(self.indices, minlength=self.shape[1])

    def outside(self, rows: Mask | None, columns: Mask | None) -> Mask:
        """(nnz,) True for connections whose row and column are False in these masks, (K,) and (D,);
        None: no mask."""
        if small_layers.is_small(self.nnz):
            keep = np.ones(self.nnz, dtype=bool)
            if rows is not None:
                keep &= ~np.repeat(rows, np.diff(self.indptr))
            return keep if columns is None else keep & ~columns[self.indices]
        from sparsebench.core.sparse.compiled import changes
        from sparsebench.core.sparse.threads import row_parts, threads_for

        keep = np.empty(self.nnz, dtype=bool)
        gone_rows = NO_MASK if rows is None else rows
        gone_columns = NO_MASK if columns is None else columns
        with threads_for(self.nnz):
            bounds = row_parts(self.indptr)
            changes.keep_apart(bounds, self.indptr, self.indices, gone_rows, gone_columns, keep)
        return keep

    def validate(self) -> None:
        """Raise TopologyError unless the pattern is canonical."""
        K, D = self.shape
        if self.indptr.shape != (K + 1,) or self.indptr[0] != 0 or self.indptr[-1] != self.nnz:
            raise TopologyError(f"indptr does not frame {self.nnz} connections in {K} rows")
        if (np.diff(self.indptr) < 0).any():
            raise TopologyError("indptr falls")
        if self.nnz and not (self.indices.min() >= 0 and self.indices.max() < D):
            raise TopologyError(f"a column lies outside 0..{D - 1}")
        stays_or_falls = self.indices[1:] <= self.indices[:-1]
        first = self.indptr[1:-1]
        stays_or_falls[first[(first > 0) & (first < self.nnz)] - 1] = False
        if stays_or_falls.any():
            raise TopologyError("columns are not sorted and unique in each row")


@dataclass(frozen=True)
class Change:
    """A change of topology: a mask of kept connections, and the grown ones.

    keep     (nnz,)    True for the old connections that are kept
    rows, columns  (grown,)  positions of the grown connections, in ascending order of (row,
                             column); none is the position of a kept connection
    values   (grown,)  weights of the grown connections
    """

    keep: Mask
    rows: Ints
    columns: Ints
    values: Vector

    @classmethod
    def drop(cls, keep: Mask) -> Change:
        """A change that grows nothing and drops the connections that are False in `keep` (nnz,)."""
        none = np.empty(0, dtype=np.int64)
        return cls(keep, none, none, np.empty(0, dtype=np.float32))

    @property
    def dropped(self) -> int:
        return int(self.keep.size - np.count_nonzero(self.keep))

    @property
    def grown(self) -> int:
        return int(self.values.size)


class AppliedChange:
    """A change applied to one pattern: the new pattern, and a method that carries arrays over to
    it.

    Raises TopologyError if the change grows a position twice, outside the layer, or where a
    connection is kept. Of the old pattern it holds only indptr, so that the old columns, and each
    old array once it is carried over, can be freed.
    """

    def __init__(self, old: CsrPattern, change: Change) -> None:
        if change.keep.shape != (old.nnz,):
            raise TopologyError(f"keep has {change.keep.size} entries for {old.nnz} connections")
        if not np.size(change.rows) == np.size(change.columns) == change.values.size:
            raise TopologyError("rows, columns and values of grown connections differ in number")
        rows, columns = _inside(old, change)
        keep = np.ascontiguousarray(change.keep)
        dtype = index_dtype(int(np.count_nonzero(keep)) + rows.size)
        self._merge: Any = _merge_of(old.nnz, rows.size)(
            old.indptr, old.indices, keep, rows, columns, dtype
        )
        if self._merge.falls:
            raise TopologyError("grown connections are not in rising order, or one is grown twice")
        if self._merge.clashes:
            raise TopologyError("a connection is grown where one is kept")
        self.pattern = CsrPattern(old.shape, self._merge.indptr, self._merge.indices)

    def carry(self, old: npt.NDArray[Any], grown: Any = 0) -> Any:
        """An array over the new connections: kept connections have their old values, the others
        those of `grown`.

        old    (nnz,) of any type of 1, 2, 4 or 8 bytes; the result has the same type
        grown  (grown,), or one value for all
        """
        return self._merge.carry(old, np.array(grown, dtype=old.dtype, order="C", copy=None))


def _merge_of(nnz: int, grown: int) -> Any:
    if small_layers.is_small(nnz, grown):
        return small_layers.Merge
    from sparsebench.core.sparse.large_changes import Merge

    return Merge


def _inside(old: CsrPattern, change: Change) -> tuple[Ints, Ints]:
    """The rows and columns of the grown connections, converted to the integer type of the pattern.
    Raises TopologyError if a position is outside the layer."""
    K, D = old.shape
    rows, columns = np.asarray(change.rows), np.asarray(change.columns)
    if rows.size and (rows.min() < 0 or rows.max() >= K or columns.min() < 0 or columns.max() >= D):
        raise TopologyError(f"a grown connection lies outside {K} x {D}")
    dtype = old.indices.dtype
    return np.ascontiguousarray(rows, dtype=dtype), np.ascontiguousarray(columns, dtype=dtype)


@dataclass(frozen=True)
class CsrMatrix:
    """A pattern with a value on each connection, which may be 0.0.

    data  (nnz,)  float32
    """

    pattern: CsrPattern
    data: Vector

    @property
    def shape(self) -> tuple[int, int]:
        return self.pattern.shape

    @property
    def indptr(self) -> Ints:
        return self.pattern.indptr

    @property
    def indices(self) -> Ints:
        return self.pattern.indices

    @property
    def nnz(self) -> int:
        return self.pattern.nnz

    @property
    def rows(self) -> Ints:
        return self.pattern.rows

    def validate(self) -> None:
        """Raise TopologyError unless the pattern is canonical and has one connection per value."""
        self.pattern.validate()
        if self.data.shape != (self.nnz,):
            raise TopologyError(f"{self.data.size} values for {self.nnz} connections")

    def apply(self, change: Change) -> CsrMatrix:
        """The matrix after a change; kept connections keep their values."""
        applied = AppliedChange(self.pattern, change)
        return CsrMatrix(applied.pattern, applied.carry(self.data, change.values))

    def row_sums_of_magnitude(self) -> Vector:
        """(K,) sum of |w| over the incoming connections of each output neuron."""
        if small_layers.is_small(self.nnz):
            return small_layers.row_sums(self.rows, np.abs(self.data), self.shape[0])
        from sparsebench.core.sparse.compiled import changes
        from sparsebench.core.sparse.threads import row_parts, threads_for

        sums = np.empty(self.shape[0], dtype=np.float32)
        with threads_for(self.nnz):
            bounds = row_parts(self.indptr)
            changes.row_sums_of_magnitude(bounds, self.indptr, self.data, sums)
        return sums
