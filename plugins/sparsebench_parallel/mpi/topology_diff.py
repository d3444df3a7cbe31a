"""Encodes the difference between two topologies as integers that can be sent, and moves gradients
from one topology to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.protocols import Layer, Network
from sparsebench.core.sparse.csr import Change, CsrPattern, Ints

SAME, MOVED, FULL = 0, 1, 2
"""How a layer's connections are sent: SAME: they did not change; MOVED: as dropped and grown
connections; FULL: as the whole pattern, if that is smaller."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """The changes of all layers.

    table      (layers, 3) int64: SAME, 0, 0; MOVED, number dropped, number grown; or FULL,
               rows + 1, number of connections
    positions  int32, or int64 if a pattern has that; layer by layer: if MOVED, the indices of the
               dropped connections in the old csr arrays, then rows and columns of the grown ones;
               if FULL, indptr, then indices
    """

    table: npt.NDArray[np.int64]
    positions: Ints

    @property
    def nbytes(self) -> int:
        return int(self.table.nbytes + self.positions.nbytes)


def found_in(these: Ints, those: Ints) -> tuple[Mask, Ints]:
    """A mask of the elements of `these` that are in `those`, and their indices there, which mean
    nothing where the mask is False. Both arrays are strictly ascending."""
    at = np.searchsorted(those, these)
    if those.size == 0:
        return np.zeros(these.size, dtype=bool), at
    np.minimum(at, those.size - 1, out=at)
    return those[at] == these, at


def change_between(old: CsrPattern, new: CsrPattern) -> Change:
    """The change that turns `old` into `new`; grown connections have the value 0."""
    before, after = old.keys(), new.keys()
    grown = after[~found_in(after, before)[0]]
    rows, columns = np.divmod(grown, max(1, new.shape[1]))
    return Change(found_in(before, after)[0], rows, columns, np.zeros(grown.size, np.float32))


def encode(old: Sequence[CsrPattern], new: Sequence[CsrPattern]) -> Encoded:
    """The changes of all layers, each in the form that needs fewer integers."""
    table = np.zeros((len(new), 3), dtype=np.int64)
    arrays: list[Ints] = [np.empty(0, dtype=np.int32)]
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        change = change_between(before, after)
        dropped, grown = change.dropped, change.grown
        if dropped == grown == 0:
            continue
        if after.indptr.size + after.nnz < dropped + 2 * grown:
            table[number] = (FULL, after.indptr.size, after.nnz)
            arrays += (after.indptr, after.indices)
        else:
            table[number] = (MOVED, dropped, grown)
            arrays += (np.flatnonzero(~change.keep), change.rows, change.columns)
    wide = any(pattern.indices.dtype.itemsize > 4 for pattern in (*old, *new))
    return Encoded(table, np.concatenate(arrays).astype(np.int64 if wide else np.int32))


def decode(encoded: Encoded, old: Sequence[CsrPattern]) -> list[Change | None]:
    """The change of each layer; None if its connections did not change."""
    changes: list[Change | None] = []
    kinds, first, second = encoded.table.T
    ends = np.cumsum(first + second * np.where(kinds == MOVED, 2, 1))
    for at, (pattern, part) in enumerate(zip(old, np.split(encoded.positions, ends[:-1]))):
        if kinds[at] == SAME:
            changes.append(None)
        elif kinds[at] == FULL:
            indptr, indices = np.split(part.astype(pattern.indices.dtype), [first[at]])
            changes.append(change_between(pattern, CsrPattern(pattern.shape, indptr, indices)))
        else:
            dropped, rows, columns = np.split(part, [first[at], first[at] + second[at]])
            keep = np.ones(pattern.nnz, dtype=bool)
            keep[dropped] = False
            changes.append(Change(keep, rows, columns, np.zeros(rows.size, dtype=np.float32)))
    return changes


def apply_encoded(network: Network, encoded: Encoded) -> None:
    """Change the connections of all layers; optimizer state is carried along."""
    patterns = [layer.weights().pattern for layer in network.layers]
    for layer, change in zip(network.layers, decode(encoded, patterns), strict=True):
        if change is not None:
            layer.apply_change(change)


def apply_pattern(layer: Layer, pattern: CsrPattern) -> None:
    """Give a layer these connections; optimizer state is carried along."""
    change = change_between(layer.weights().pattern, pattern)
    if change.dropped or change.grown:
        layer.apply_change(change)


def retained(old: CsrPattern, new: CsrPattern, DW: Vector) -> tuple[Vector, int]:
    """DW (old nnz,) moved to the connections of `new`, with 0 for new connections; and the number
    of entries that were kept.

    Curci et al. (2021), arXiv 2102.01732, RetainValidUpdates. A connection that was dropped and
    grown again at its place counts as the same one, as in the released code.
    """
    kept, at = found_in(new.keys(), old.keys())
    out = np.zeros(new.nnz, dtype=DW.dtype)
    out[kept] = DW[at[kept]]
    return out, int(np.count_nonzero(kept))
