"""Kernels that move the connections from one order to the other."""

from __future__ import annotations

from numba import njit

from sparsebench.core.sparse.threads import by_part


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def count_columns(begin_part, end_part, cuts, indptr, indices, starts):
    """starts (parts, D), zeros before: connections of each part's rows by column."""
    for part in range(begin_part, end_part):
        for p in range(indptr[cuts[part]], indptr[cuts[part + 1]]):
            starts[part, indices[p]] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def start_columns(starts, t_indptr):
    """Make counts (parts, D) the places where each part's connections of a column begin, and fill
    t_indptr (D + 1,), where the columns begin."""
    total = t_indptr[0]
    for j in range(starts.shape[1]):
        t_indptr[j] = total
        for part in range(starts.shape[0]):
            count = starts[part, j]
            starts[part, j] = total
            total += count
    t_indptr[starts.shape[1]] = total


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def place_by_column(begin_part, end_part, cuts, indptr, indices, starts, t_rows, place):
    """t_rows (nnz,): rows by column, rising in each. place (nnz,): where each connection goes."""
    for part in range(begin_part, end_part):
        for k in range(cuts[part], cuts[part + 1]):
            for p in range(indptr[k], indptr[k + 1]):
                q = starts[part, indices[p]]
                starts[part, indices[p]] = q + 1
                t_rows[q] = k
                place[p] = q


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def by_row(begin_part, end_part, bounds, array, place, out):
    """A (nnz,) array by column into csr order."""
    for p in range(bounds[begin_part], bounds[end_part]):
        out[p] = array[place[p]]


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def by_column(begin_part, end_part, bounds, array, place, out):
    """A (nnz,) array in csr order into the order of columns."""
    for p in range(bounds[begin_part], bounds[end_part]):
        out[place[p]] = array[p]
