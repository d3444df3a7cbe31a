"""Compiled loops that compute the scores of `link_prediction` row by row.

Each thread processes its own ranges of rows, and the sums of a row are added in a fixed order, so
the result is the same for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench.core.sparse.threads import by_part


@njit(cache=True)
def count_common(v, indptr, indices, t_indptr, t_indices, common, near):
    """common[z] = the number of inputs that outputs v and z share; near[:n] = the z that share any.
    Returns n."""
    n = 0
    for p in range(indptr[v], indptr[v + 1]):
        for q in range(t_indptr[indices[p]], t_indptr[indices[p] + 1]):
            z = t_indices[q]
            if common[z] == 0:
                near[n] = z
                n += 1
            common[z] += 1
    return n


@njit(cache=True)
def degree(indptr, node):
    return indptr[node + 1] - indptr[node]


@by_part
@njit(cache=True, nogil=True, error_model="numpy")
def score_rows(
    begin_part, end_part, bounds, by_paths, indptr, indices, t_indptr, t_indices,
    first, starts, columns, scores, sizes,
):  # fmt: skip
    """Score the positions of some rows that have no connection but paths of length 3.

    bounds                parts of the rows first, first + 1, ...
    by_paths              whether to compute CH3-L3p; else CH2-L3n
    indptr, indices       outputs by inputs, csr
    t_indptr, t_indices   the transposed matrix
    starts (rows + 1,)    where each row's columns and scores begin, with room for all
    sizes (rows,)         written: the number of scored positions of each row
    """
    K, D = indptr.size - 1, t_indptr.size - 1
    common, near = np.zeros(K, np.int32), np.empty(K, np.int32)
    shared, met = np.zeros(D, np.int32), np.empty(D, np.int32)
    weighted, total = np.zeros(D), np.zeros(D)
    is_found, found = np.zeros(D, np.bool_), np.empty(D, np.int32)
    for part in range(begin_part, end_part):
        for row in range(bounds[part], bounds[part + 1]):
            v, n = first + row, 0
            outputs = count_common(v, indptr, indices, t_indptr, t_indices, common, near)
            for p in range(indptr[v], indptr[v + 1]):
                z2, inputs = indices[p], 0
                for q in range(t_indptr[z2], t_indptr[z2 + 1]):
                    z1 = t_indices[q]
                    if z1 == v:
                        continue
                    weight = 1 / np.sqrt(max(1, degree(indptr, z1) - common[z1]))
                    for r in range(indptr[z1], indptr[z1 + 1]):
                        u = indices[r]
                        if u == z2:
                            continue
                        if shared[u] == 0:
                            met[inputs] = u
                            inputs += 1
                        shared[u] += 1
                        weighted[u] += weight
                for i in range(inputs):
                    u = met[i]
                    outside = max(1, degree(t_indptr, z2) - shared[u])
                    if not is_found[u]:
                        is_found[u] = True
                        found[n] = u
                        n += 1
                    if by_paths:
                        total[u] += weighted[u] / np.sqrt(outside)
                    else:
                        total[u] += (shared[u] + 1) / outside
                    shared[u], weighted[u] = 0, 0.0
            for i in range(outputs):
                z1 = near[i]
                if not by_paths and z1 != v:
                    weight = (common[z1] + 1) / max(1, degree(indptr, z1) - common[z1])
                    for r in range(indptr[z1], indptr[z1 + 1]):
                        total[indices[r]] += weight
                common[z1] = 0
            for p in range(indptr[v], indptr[v + 1]):
                total[indices[p]] = 0.0
            found[:n].sort()
            size = 0
            for i in range(n):
                u = found[i]
                if total[u] > 0:
                    columns[starts[row] + size] = u
                    scores[starts[row] + size] = total[u]
                    size += 1
                total[u], is_found[u] = 0.0, False
            sizes[row] = size
