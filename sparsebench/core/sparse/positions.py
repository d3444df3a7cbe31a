"""Functions on lists of positions in a layer: which are connections, and which score best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse import small_layers
from sparsebench.core.sparse.csr import CsrPattern, Ints


def places(pattern: CsrPattern, rows: Ints, columns: Ints) -> npt.NDArray[np.int64]:
    """(count,) the index of the connection at each position; -1 if there is none."""
    if small_layers.is_small(pattern.nnz, len(rows)):
        return small_layers.places(
            pattern.keys(), rows.astype(np.int64) * pattern.shape[1] + columns
        )
    from sparsebench.core.sparse.compiled import changes
    from sparsebench.core.sparse.threads import even_parts, threads_for

    found = np.empty(len(rows), dtype=np.int64)
    with threads_for(found.size):
        bounds = even_parts(found.size)
        changes.places(bounds, pattern.indptr, pattern.indices, rows, columns, found)
    return found


def are_free(pattern: CsrPattern, keep: Mask, rows: Ints, columns: Ints) -> Mask:
    """(count,) True for positions where no connection is kept."""
    place = places(pattern, rows, columns)
    free = place < 0
    free[~free] = ~keep[place[~free]]
    return free


def revive(pattern: CsrPattern, keep: Mask, rows: Ints, columns: Ints) -> tuple[Mask, Mask]:
    """Keep the dropped connections that are at these positions.

    Returns the new `keep`, and a mask (count,) of the positions that had no connection.
    """
    place = places(pattern, rows, columns)
    fresh = place < 0
    kept = keep.copy()
    kept[place[~fresh]] = True
    return kept, fresh


def best(rows: Ints, columns: Ints, scores: Vector, count: int) -> tuple[Ints, Ints, Vector]:
    """Rows, columns and scores of the `count` positions with the highest scores, in their given
    order. Among equal scores the earlier positions win."""
    if scores.size <= count:
        return rows, columns, scores
    if count <= 0:
        return rows[:0], columns[:0], scores[:0]
    at = scores.size - count
    limit = np.partition(scores, at)[at]
    chosen = scores > limit
    ties = np.flatnonzero(scores == limit)
    chosen[ties[: count - int(np.count_nonzero(chosen))]] = True
    return rows[chosen], columns[chosen], scores[chosen]


def distinct(rows: Ints, columns: Ints) -> tuple[Ints, Ints]:
    """The distinct positions, in ascending order."""
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    first = np.ones(rows.size, dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    return rows[first], columns[first]
