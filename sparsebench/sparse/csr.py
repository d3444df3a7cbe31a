"""Sparse matrices in canonical CSR, and changes of their topology.

A row holds one output neuron's incoming connections, its columns sorted and unique.
Nothing here allocates or walks K x D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]
Vector = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.int64]


class TopologyError(ValueError):
    """An invariant of a sparse matrix does not hold."""


def index_dtype(nnz: int) -> type[np.int32] | type[np.int64]:
    """int32 as long as it can count the connections."""
    return np.int32 if nnz < 2**31 else np.int64


@dataclass(frozen=True)
class CsrPattern:
    """Where the connections of a (K, D) layer are.

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
        """(nnz,) the row of each connection. Made anew: hold on to it where it is used twice."""
        return np.repeat(np.arange(self.shape[0], dtype=self.indices.dtype), np.diff(self.indptr))

    def keys(self) -> Keys:
        """(nnz,) row D + column of each connection, strictly rising."""
        return self.rows.astype(np.int64) * self.shape[1] + self.indices

    @classmethod
    def from_keys(cls, shape: tuple[int, int], keys: Keys) -> CsrPattern:
        """From positions row D + column, strictly rising."""
        K, D = shape
        dtype = index_dtype(keys.size)
        bounds = np.arange(K + 1, dtype=np.int64) * D
        indptr = np.searchsorted(keys, bounds).astype(dtype)
        return cls(shape, indptr, (keys % D).astype(dtype))

    @classmethod
    def full(cls, shape: tuple[int, int]) -> CsrPattern:
        """Every position is a connection."""
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

    def validate(self) -> None:
        """Raise TopologyError unless this is canonical."""
        K, D = self.shape
        if self.indptr.shape != (K + 1,) or self.indptr[0] != 0 or self.indptr[-1] != self.nnz:
            raise TopologyError(f"indptr does not frame {self.nnz} connections in {K} rows")
        if (np.diff(self.indptr) < 0).any():
            raise TopologyError("indptr falls")
        if self.nnz and not (self.indices.min() >= 0 and self.indices.max() < D):
            raise TopologyError(f"a column lies outside 0..{D - 1}")
        if (np.diff(self.keys()) <= 0).any():
            raise TopologyError("columns are not sorted and unique in each row")


@dataclass(frozen=True)
class Change:
    """A change of topology: what stays of the old connections, and what is grown.

    keep     (nnz,)    of the old connections
    rows     (grown,)  of the new ones, with `columns` in rising order, none among the kept
    columns  (grown,)
    values   (grown,)
    """

    keep: Mask
    rows: Ints
    columns: Ints
    values: Vector

    @classmethod
    def drop(cls, keep: Mask) -> Change:
        """A change that grows nothing."""
        none = np.empty(0, dtype=np.int64)
        return cls(keep, none, none, np.empty(0, dtype=np.float32))

    @property
    def dropped(self) -> int:
        return int(self.keep.size - np.count_nonzero(self.keep))

    @property
    def grown(self) -> int:
        return int(self.values.size)


class Rewiring:
    """A change worked out for one pattern: the new pattern, and how arrays follow.

    Raises TopologyError if the change grows a position twice, outside the layer, or where a
    connection is kept.
    """

    def __init__(self, old: CsrPattern, change: Change) -> None:
        K, D = old.shape
        rows, columns = np.asarray(change.rows), np.asarray(change.columns)
        if change.keep.shape != (old.nnz,):
            raise TopologyError(f"keep has {change.keep.size} entries for {old.nnz} connections")
        if not rows.size == columns.size == change.values.size:
            raise TopologyError("rows, columns and values of grown connections differ in number")
        inside = (rows >= 0) & (rows < K) & (columns >= 0) & (columns < D)
        if not inside.all():
            raise TopologyError(f"a grown connection lies outside {K} x {D}")
        kept = old.keys()[change.keep]
        grown = rows.astype(np.int64) * D + columns
        if (np.diff(grown) <= 0).any():
            raise TopologyError("grown connections are not in rising order, or one is grown twice")
        before = np.searchsorted(kept, grown)
        taken = before < kept.size
        if (kept[before[taken]] == grown[taken]).any():
            raise TopologyError("a connection is grown where one is kept")
        self._keep = change.keep
        self._at = before + np.arange(grown.size)
        self._size = kept.size + grown.size
        self._stays = np.ones(self._size, dtype=bool)
        self._stays[self._at] = False
        self.grown_values = change.values
        self.pattern = CsrPattern.from_keys(old.shape, self.carry(kept, grown, kept=True))

    def carry(self, old: npt.NDArray[Any], grown: Any = 0, *, kept: bool = False) -> Any:
        """An array over the new connections: old values where they stay, `grown` elsewhere.

        `kept` says that `old` holds the kept connections only.
        """
        new = np.empty(self._size, dtype=old.dtype)
        new[self._stays] = old if kept else old[self._keep]
        new[self._at] = grown
        return new


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
        """Raise TopologyError unless this is canonical and every value has a place."""
        self.pattern.validate()
        if self.data.shape != (self.nnz,):
            raise TopologyError(f"{self.data.size} values for {self.nnz} connections")

    def apply(self, change: Change) -> CsrMatrix:
        """The matrix after a change; kept connections keep their values."""
        rewiring = Rewiring(self.pattern, change)
        return CsrMatrix(rewiring.pattern, rewiring.carry(self.data, change.values))

    def row_sums_of_magnitude(self) -> Vector:
        """(K,) sum of |w| over the incoming connections of each output neuron."""
        sums = np.bincount(self.rows, weights=np.abs(self.data), minlength=self.shape[0])
        return sums.astype(np.float32)
