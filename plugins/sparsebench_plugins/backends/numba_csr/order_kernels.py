"""Kernels that move connections between csr order and the order by column."""

from __future__ import annotations

from numba import njit

from sparsebench.core.sparse.threads import by_part


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def count_columns(begin_part, end_part, cuts, indptr, indices, starts):
    """starts (parts, D) = the number of connections of each part's rows in each column; zeros
    before."""
    for part in range(begin_part, end_part):
        for p in range(indptr[cuts[part]], indptr[cuts[part + 1]]):
            starts[part, indices[p]] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def start_columns(starts, t_indptr):
    """Turn the counts in `starts` (parts, D) into the indices where each part's connections of a
    column begin; t_indptr (D + 1,) = where the columns begin."""
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
    """t_rows (nnz,) = the rows by column, ascending in each; place (nnz,) = the index of each
    connection in the order by column."""
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
    """out = an array (nnz,) by column, rearranged to csr order."""
    for p in range(bounds[begin_part], bounds[end_part]):
        out[p] = array[place[p]]


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def by_column(begin_part, end_part, bounds, array, place, out):
    """out = an array (nnz,) in csr order, rearranged by column."""
    for p in range(bounds[begin_part], bounds[end_part]):
        out[place[p]] = array[p]
