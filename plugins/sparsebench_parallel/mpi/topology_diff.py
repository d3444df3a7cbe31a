"""How a topology differs from an earlier one, as integers that travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import Change, CsrPattern

Ints = npt.NDArray[Any]

SAME, MOVED, FULL = 0, 1, 2
"""A layer's connections stand; as dropped and grown ones; as a whole pattern, where that is
smaller."""

FIELDS = 3
"""Columns of the table: what is sent of a layer, and the sizes of it."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """The changes of all layers.

    table      (layers, FIELDS) int64: MOVED, dropped, grown; or FULL, rows, connections
    positions  one after the other of MOVED: positions in the old csr order, then rows and columns
               of the grown; of FULL: indptr, then indices
    """

    table: npt.NDArray[np.int64]
    positions: Ints

    @property
    def nbytes(self) -> int:
        return int(self.table.nbytes + self.positions.nbytes)


def found_in(these: Ints, those: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Which of `these` are among `those`, both strictly rising; and where, if they are."""
    at = np.searchsorted(those, these)
    if those.size == 0:
        return np.zeros(these.size, dtype=bool), at
    np.minimum(at, those.size - 1, out=at)
    return those[at] == these, at


def change_between(old: CsrPattern, new: CsrPattern) -> Change:
    """What makes `new` of `old`; grown connections have the value 0."""
    before, after = old.keys(), new.keys()
    keep, _ = found_in(before, after)
    stayed, _ = found_in(after, before)
    grown = after[~stayed]
    rows, columns = grown // max(1, new.shape[1]), grown % max(1, new.shape[1])
    return Change(keep, rows, columns, np.zeros(grown.size, dtype=np.float32))


def encode(old: Sequence[CsrPattern], new: Sequence[CsrPattern]) -> Encoded:
    """The changes of all layers, in as few integers as each of the two ways takes."""
    table = np.zeros((len(new), FIELDS), dtype=np.int64)
    arrays: list[Ints] = []
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        change = change_between(before, after)
        sizes = (change.dropped, change.grown)
        if sizes == (0, 0):
            continue
        if after.indptr.size + after.nnz < sizes[0] + 2 * sizes[1]:
            table[number] = (FULL, after.indptr.size, after.nnz)
            arrays += (after.indptr, after.indices)
        else:
            table[number] = (MOVED, *sizes)
            arrays += (np.flatnonzero(~change.keep), change.rows, change.columns)
    wide = any(pattern.indices.dtype.itemsize > 4 for pattern in (*old, *new))
    dtype = np.int64 if wide else np.int32
    return Encoded(table, np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False))


def count_of(table: npt.NDArray[np.int64]) -> int:
    """Integers that a table announces."""
    weights = {SAME: (0, 0), MOVED: (1, 2), FULL: (1, 1)}
    return sum(int(a * weights[int(kind)][0] + b * weights[int(kind)][1]) for kind, a, b in table)


def decode(encoded: Encoded, old: Sequence[CsrPattern]) -> list[Change | None]:
    """A change per layer, None where its connections stand."""
    changes: list[Change | None] = []
    start = 0
    for (kind, first, second), pattern in zip(encoded.table.tolist(), old, strict=True):
        size = count_of(np.array([(kind, first, second)]))
        part = encoded.positions[start : start + size]
        start += size
        if kind == SAME:
            changes.append(None)
        elif kind == FULL:
            dtype = pattern.indices.dtype
            indptr, indices = part[:first].astype(dtype), part[first:].astype(dtype)
            changes.append(change_between(pattern, CsrPattern(pattern.shape, indptr, indices)))
        else:
            keep = np.ones(pattern.nnz, dtype=bool)
            keep[part[:first]] = False
            rows, columns = part[first : first + second], part[first + second :]
            changes.append(Change(keep, rows, columns, np.zeros(second, dtype=np.float32)))
    return changes


Vector = npt.NDArray[np.float32]


def retained(old: CsrPattern, new: CsrPattern, DW: Vector) -> tuple[Vector, int]:
    """DW (old nnz,) on the connections of `new`, 0 where they are younger; and how many entries
    were kept.

    Curci et al. (2021), arXiv 2102.01732, RetainValidUpdates. A connection that was dropped and
    grown again at its place counts as the same one, as in the released code.
    """
    there, at = found_in(new.keys(), old.keys())
    out = np.zeros(new.nnz, dtype=DW.dtype)
    out[there] = DW[at[there]]
    return out, int(np.count_nonzero(there))
