"""Kernels for batches of 1 to 8: csr only, vectors run over the few samples of a connection.

At such batches the connections are the traffic, and a second order of them, with its copy of
the values, would double it. Connections are cut into blocks of equal size, rows or not, the
same ones for any number of threads. Forward, a row cut by a block is put together afterwards;
backward, each block adds into a DX of its own, and these are added in the order of the blocks:
no two threads write to one place, and the bits do not depend on their number.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.arguments import KEEP
from sparsebench_plugins.backends.numba_csr.elementwise import (
    activate_row,
    add_some,
    deactivate_row,
    sum_blocks,
    update,
)
from sparsebench_plugins.backends.numba_csr.row_kernels import LARGEST, small_column, small_gather
from sparsebench_plugins.backends.numba_csr.threads import threads_again, threads_for

PIECE = 1024
"""Connections whose gradients are made before they are updated: 4 KiB, in the first cache."""

downstream_part, dots_part = small_column(True), small_column(False)


@njit(cache=True, parallel=True, error_model="numpy")
def forward(bounds, rows, indptr, indices, data, bias, X, Z, N, unit, bits, ahead):
    """Z = unit(W X + b).

    bounds (C + 1,)  connections of each block      rows (C + 1,)  the rows that begin in it
    W     (K, D)     csr: indptr (K + 1,), indices (nnz,), data (nnz,);  bias (K,)
    X, Z  flat       (D, N) and (K, N)
    bits  (K, row_bytes) flat: the signs that the unit keeps
    """
    blocks, last = bounds.size - 1, indices.size - 1
    edges = np.zeros(blocks * N, dtype=np.float32)
    # a connection counts as LARGEST multiply-adds: smaller batches take as long
    before = threads_for(LARGEST * indices.size)
    for c in prange(blocks):
        end = bounds[c + 1]
        begun = min(np.int64(indptr[rows[c]]), end)
        if bounds[c] < begun:
            zero = np.float32(0.0)
            small_gather(N, data, indices, bounds[c], begun, last, X, zero, edges, c * N, ahead)
        for k in range(rows[c], rows[c + 1]):
            start, stop = np.int64(indptr[k]), min(np.int64(indptr[k + 1]), end)
            small_gather(N, data, indices, start, stop, last, X, bias[k], Z, k * N, ahead)
    for c in range(blocks):
        if bounds[c] < min(np.int64(indptr[rows[c]]), bounds[c + 1]):
            add_some(Z, (rows[c] - 1) * N, edges, c * N, N)
    threads_again(before)
    threads_for(bias.size * N)
    for k in prange(bias.size):
        activate_row(Z, k * N, k, 0, N, unit, bits)
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def backward(
    bounds, rows, indptr, indices, data, first, second,
    X, DZ, DX, parts, N, G, rule, unit, bits, ahead,
):  # fmt: skip
    """DW = DZ X^T on the pattern, DX = W^T DZ through the unit below, and the update of W.

    bounds (B + 1,), rows (B + 1,)  as in `forward`
    data, first, second (nnz,)      weights and the optimizer's state, csr
    X, DZ, DX flat    (D, N), (K, N), (D, N); DX empty: not wanted
    parts  (B, D N)   flat, float32: each block's own DX; not looked at where DX is empty
    G      (nnz,)     csr: the gradient, where the rule keeps it; else empty
    bits              the signs of the unit below

    DX uses the weights before the update.
    """
    blocks, last = bounds.size - 1, indices.size - 1
    wanted = DX.size > 0
    size = DX.size
    before = threads_for(2 * LARGEST * indices.size)
    for c in prange(blocks):
        mine = parts[c * size : (c + 1) * size]
        for i in range(mine.size):
            mine[i] = 0.0
        own = np.empty(PIECE + 16, dtype=np.float32)
        k = np.int64(rows[c])
        if np.int64(indptr[k]) > bounds[c]:
            k -= 1
        for p in range(bounds[c], bounds[c + 1], PIECE):
            end = min(p + PIECE, bounds[c + 1])
            q = p
            while q < end:
                while np.int64(indptr[k + 1]) <= q:
                    k += 1
                stop = min(np.int64(indptr[k + 1]), end)
                if wanted:
                    downstream_part(
                        N, data, indices, q, stop, last, DZ, k * N, X, mine, own, q - p, ahead
                    )
                else:
                    dots_part(
                        N, data, indices, q, stop, last, DZ, k * N, X, mine, own, q - p, ahead
                    )
                q = stop
            if rule.kind == KEEP:
                for i in range(end - p):
                    G[p + i] = own[i]
            else:
                update(data, first, second, own, p, end, 0, rule)
    threads_again(before)
    if wanted:
        threads_for(blocks * size)
        for j in prange(size // N):
            sum_blocks(parts, blocks, size, j * N, DX, N)
            deactivate_row(DX, j * N, j, 0, N, unit, bits)
        threads_again(before)
