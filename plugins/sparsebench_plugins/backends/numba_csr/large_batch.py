"""Kernels for batches of more than 8 samples, with vectors over the samples.

Forward goes by rows of W and backward by columns. Both are divided into chunks with about equal
numbers of connections, which do not depend on the number of threads. Each chunk owns its output and
sums in index order, so the result is the same bit for bit for any number of threads.

Activations are flat arrays in an `arguments.Layout`. All threads finish one tile of the batch
before the next, so that gathered activations stay in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.activation_kernels import activate_row, deactivate_row
from sparsebench_plugins.backends.numba_csr.arguments import KEEP
from sparsebench_plugins.backends.numba_csr.row_kernels import column, gather
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    add,
    load,
    load_some,
    splat,
    total,
)
from sparsebench_plugins.backends.numba_csr.threads import (
    in_parallel,
    restore_threads,
    threads_for,
)
from sparsebench_plugins.backends.numba_csr.update_kernels import absorb, update

PIECE = 512
"""Connections whose gradients are computed before they are updated: few enough for the L1 cache,
and enough that the update's vectors do not read values that were just written in smaller parts,
which would stall."""

gather_8, gather_4, gather_2 = gather(8), gather(4), gather(2, abreast=2)
gather_1, gather_some = gather(1, abreast=4), gather(1, some=True)


@njit(forceinline=True, error_model="numpy")
def forward_row(data, indices, start, stop, X, stride, at, b, Z, z, N, ahead):
    """Compute N samples of a row of Z = W X + b. X's tile of samples begins at X[at], Z's row at
    Z[z]."""
    last = indices.size - 1
    n = 0
    while n + 8 * WIDTH <= N:
        gather_8(data, indices, start, stop, last, X, stride, at + n, b, Z, z + n, 0, ahead)
        n += 8 * WIDTH
    if n + 4 * WIDTH <= N:
        gather_4(data, indices, start, stop, last, X, stride, at + n, b, Z, z + n, 0, ahead)
        n += 4 * WIDTH
    if n + 2 * WIDTH <= N:
        gather_2(data, indices, start, stop, last, X, stride, at + n, b, Z, z + n, 0, ahead)
        n += 2 * WIDTH
    if n + WIDTH <= N:
        gather_1(data, indices, start, stop, last, X, stride, at + n, b, Z, z + n, 0, ahead)
        n += WIDTH
    if n < N:
        gather_some(data, indices, start, stop, last, X, stride, at + n, b, Z, z + n, N - n, ahead)


@in_parallel
@njit(error_model="numpy")
def forward_chunks(
    c, chunks, indptr, indices, data, bias, X, x_stride, at, Z, z_stride, to, n, count,
    unit, bits, ahead,
):  # fmt: skip
    """Compute samples n..n + count - 1 of the rows of chunk c of Z = unit(W X + b); they begin at
    X[at] and Z[to]."""
    for k in range(chunks[c], chunks[c + 1]):
        start, stop = np.int64(indptr[k]), np.int64(indptr[k + 1])
        row = to + k * z_stride
        forward_row(data, indices, start, stop, X, x_stride, at, bias[k], Z, row, count, ahead)
        activate_row(Z, row, k, n, count, unit, bits)


@njit(cache=True, error_model="numpy")
def forward(chunks, indptr, indices, data, bias, X, x, Z, z, N, unit, bits, ahead):
    """Z = unit(W X + b).

    chunks (C + 1,)  bounds of rows
    W     (K, D)     csr: indptr (K + 1,), indices (nnz,), data (nnz,);  bias (K,)
    X, Z  flat       (D, N) and (K, N) in the layouts x and z
    bits  (K, row_bytes) flat, written: the bits that the unit needs for backward
    """
    tile = min(x.tile, z.tile)
    before = threads_for(indices.size * tile)
    for n in range(0, N, tile):
        at = n // x.tile * x.step + n % x.tile
        to = n // z.tile * z.step + n % z.tile
        given = (
            chunks, indptr, indices, data, bias, X, x.stride, at, Z, z.stride, to, n,
            min(tile, N - n), unit, bits, ahead,
        )  # fmt: skip
        forward_chunks(chunks.size - 1, given)
    restore_threads(before)


def make_backward_column(downstream):
    """Make a function for one column of the backward pass with any number of samples.

    downstream  whether it computes DX, besides the gradient
    """
    column_8, column_4, column_2, column_1 = (
        column(vectors, downstream=downstream) for vectors in (8, 4, 2, 1)
    )
    column_some = column(1, some=True, downstream=downstream)

    @njit(forceinline=True, error_model="numpy")
    def backward_column(w, rows, start, stop, DZ, stride, at, X, x, DX, d, G, g, N, more, ahead):
        last = rows.size - 1
        n = 0
        while n + 8 * WIDTH <= N:
            column_8(
                w, rows, start, stop, last, DZ, stride, at + n,
                X, x + n, DX, d + n, G, g, more, 0, ahead,
            )  # fmt: skip
            more = True
            n += 8 * WIDTH
        if n + 4 * WIDTH <= N:
            column_4(
                w, rows, start, stop, last, DZ, stride, at + n,
                X, x + n, DX, d + n, G, g, more, 0, ahead,
            )  # fmt: skip
            more = True
            n += 4 * WIDTH
        if n + 2 * WIDTH <= N:
            column_2(
                w, rows, start, stop, last, DZ, stride, at + n,
                X, x + n, DX, d + n, G, g, more, 0, ahead,
            )  # fmt: skip
            more = True
            n += 2 * WIDTH
        if n + WIDTH <= N:
            column_1(
                w, rows, start, stop, last, DZ, stride, at + n,
                X, x + n, DX, d + n, G, g, more, 0, ahead,
            )  # fmt: skip
            more = True
            n += WIDTH
        if n < N:
            column_some(
                w, rows, start, stop, last, DZ, stride, at + n,
                X, x + n, DX, d + n, G, g, more, N - n, ahead,
            )  # fmt: skip

    return backward_column


downstream_column, dots_column = make_backward_column(True), make_backward_column(False)


@in_parallel
@njit(error_model="numpy")
def backward_chunks(
    c, chunks, t_indptr, t_rows, w, first, second, X, x_stride, source, DZ, z_stride, at,
    DX, d_stride, to, n, count, G, widest, final, once, rule, unit, bits, ahead,
):  # fmt: skip
    """Process samples n..n + count - 1 for the columns of chunk c; they begin at X[source], DZ[at]
    and DX[to].

    final  whether these are the last samples of the batch
    once   whether these are all samples of the batch
    """
    stored, updated = G.size > 0, rule.kind != KEEP
    own = np.empty(1 if stored else PIECE + widest, dtype=np.float32)
    done = np.int64(t_indptr[chunks[c]])
    for j in range(chunks[c], chunks[c + 1]):
        start, stop = np.int64(t_indptr[j]), np.int64(t_indptr[j + 1])
        xj, dj = source + j * x_stride, to + j * d_stride
        dots, g = (G, start) if stored else (own, start - done)
        more = stored and n > 0
        if DX.size > 0:
            downstream_column(
                w, t_rows, start, stop, DZ, z_stride, at,
                X, xj, DX, dj, dots, g, count, more, ahead,
            )  # fmt: skip
            deactivate_row(DX, dj, j, n, count, unit, bits)
        else:
            dots_column(
                w, t_rows, start, stop, DZ, z_stride, at,
                X, xj, X, 0, dots, g, count, more, ahead,
            )  # fmt: skip
        if stop - done >= PIECE or j == chunks[c + 1] - 1:
            if updated and (stored or once):
                if final:
                    update(w, first, second, dots, done, stop, done - start + g, rule)
            elif updated:
                absorb(w, first, dots, done, stop, n == 0, final, rule)
            done = stop


@njit(cache=True, error_model="numpy")
def backward(
    chunks, t_indptr, t_rows, w, first, second, X, x, DZ, z, DX, d,
    N, G, widest, rule, unit, bits, ahead,
):  # fmt: skip
    """Compute DW = DZ X^T where W has connections, DX = W^T DZ through the unit below, and update W
    if the rule does.

    chunks (C + 1,)  bounds of columns
    t_indptr (D + 1,), t_rows (nnz,): the connections by column
    w, first, second (nnz,)  weights and the optimizer's state by column
    X, DZ, DX flat   (D, N), (K, N), (D, N) in the layouts x, z, d; DX empty: it is not computed
    G      (nnz,) by column: receives the gradient; empty: the gradient is not stored
    widest           the largest number of connections of a column
    bits             the bits of the unit below

    DX uses the weights before the update. If there are several tiles, their parts of the gradient
    are added up in G, or in the velocity if G is empty, which is possible because SGD is linear.
    """
    tile = min(x.tile, min(z.tile, d.tile))
    before = threads_for(2 * t_rows.size * tile)
    for n in range(0, N, tile):
        at = n // z.tile * z.step + n % z.tile
        source = n // x.tile * x.step + n % x.tile
        to = n // d.tile * d.step + n % d.tile
        given = (
            chunks, t_indptr, t_rows, w, first, second, X, x.stride, source, DZ, z.stride, at,
            DX, d.stride, to, n, min(tile, N - n), G, widest, n + tile >= N, tile >= N, rule,
            unit, bits, ahead,
        )  # fmt: skip
        backward_chunks(chunks.size - 1, given)
    restore_threads(before)


@in_parallel
@njit(forceinline=True, error_model="numpy")
def sum_row(k, DZ, z, N, sums):
    parts = splat(np.float32(0.0))
    for n in range(0, N, z.tile):
        row = n // z.tile * z.step + k * z.stride
        count = min(z.tile, N - n)
        i = 0
        while i + WIDTH <= count:
            parts = add(parts, load(DZ, row + i))
            i += WIDTH
        if i < count:
            parts = add(parts, load_some(DZ, row + i, count - i))
    sums[k] = total(parts)


@njit(cache=True, error_model="numpy")
def sum_rows(DZ, z, N, sums):
    """sums[k] = the sum of DZ's row k over the batch.  DZ (K, N) flat in the layout z."""
    before = threads_for(sums.size * N)
    sum_row(sums.size, (DZ, z, N, sums))
    restore_threads(before)
