"""Looking positions up among connections."""

from __future__ import annotations

from numba import njit, prange


@njit(cache=True, parallel=True)
def places(bounds, indptr, indices, rows, columns, found):
    """found[q] = p with connection p at (rows[q], columns[q]), or -1.  found (count,)

    Each thread owns a range of `bounds` of the positions.
    """
    for part in prange(bounds.size - 1):
        for q in range(bounds[part], bounds[part + 1]):
            low, end, column = indptr[rows[q]], indptr[rows[q] + 1], columns[q]
            high = end
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < column:
                    low = middle + 1
                else:
                    high = middle
            found[q] = low if low < end and indices[low] == column else -1
