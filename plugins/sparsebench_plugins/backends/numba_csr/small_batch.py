"""Kernels for batches of 1 to 8 samples, over connections in blocks.

For such batches, most memory traffic is the connections; each gathers from and adds to a few bytes
at a random position. Blocks keep these positions in the L2 cache, and one order serves both passes
(`block_order`). A chunk of forward is a row of blocks and owns its part of Z. A chunk of backward
is a column of blocks and owns its part of DX. So no two threads write to the same position, and
results do not depend on the number of threads.

Each chunk is processed by a function; `forward` and `backward` run all chunks.

row_cuts (R + 1,), column_cuts (C + 1,)  bounds of the blocks' neurons
starts (R C + 1,)                        where the connections of each block begin
rows, columns, w (nnz,)                  of each connection: uint16, uint16, float32
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from sparsebench_plugins.backends.numba_csr.activation_kernels import activate_row, deactivate_row
from sparsebench_plugins.backends.numba_csr.arguments import CACHE, KEEP, LARGEST
from sparsebench_plugins.backends.numba_csr.block_order_kernels import run_length
from sparsebench_plugins.backends.numba_csr.connection_kernels import (
    backward_block,
    forward_rows,
)
from sparsebench_plugins.backends.numba_csr.simd import load_few, store_few
from sparsebench_plugins.backends.numba_csr.threads import (
    in_parallel,
    restore_threads,
    threads_for,
)
from sparsebench_plugins.backends.numba_csr.update_kernels import update

PIECE = 1024
"""Connections whose gradients are computed before they are updated: 4 KiB, which fit in the L1
cache."""

AHEAD = 32
"""Prefetch distance in connections."""

one, two, three, more = (forward_rows(length) for length in (1, 2, 3, None))
downstream_part, dots_part = backward_block(True), backward_block(False)


def sums_of(A, start, rows, step, N):
    """The array for the sums of `rows` neurons, N samples each: A itself from `start` on, if it is
    float32 and its neurons follow each other without gaps (step = N); else a new array."""
    raise NotImplementedError


def write_back_sums(sums, s, A, a, step, N):
    """If `sums` is not A itself, A[a : a + N] = sums[s : s + N], rounded to A's type."""
    raise NotImplementedError


@overload(sums_of)
def _sums_of(A, start, rows, step, N):
    if A.dtype == types.float32:
        return lambda A, start, rows, step, N: (
            A[start:] if step == N else np.empty(rows * N, dtype=np.float32)
        )
    return lambda A, start, rows, step, N: np.empty(rows * N, dtype=np.float32)


@overload(write_back_sums)
def _settle(sums, s, A, a, step, N):
    wide = A.dtype == types.float32

    def write_back_sums(sums, s, A, a, step, N):
        if not wide or step != N:
            store_few(A, a, load_few(sums, s, N), N)

    return write_back_sums


@njit(error_model="numpy")
def ahead_in(A):
    """The prefetch distance; 0 if all neurons fit into an L2 cache. A block's neurons always fit,
    but they are only cached after the first access, and may be evicted when other programs run."""
    return AHEAD if A.size * A.itemsize > CACHE else 0


@njit(error_model="numpy")
def forward_chunk(
    r, row_cuts, column_cuts, starts, rows, columns, w, bias,
    X, x, Z, z, z_step, n, N, unit, bits,
):  # fmt: skip
    """Compute row r of blocks of Z = unit(W X + b), for samples n..n + N - 1 with N <= 8.

    X, Z flat: the samples of neuron j at x + j N and z + j z_step
    bits      (K, row_bytes) flat: the signs that the unit keeps
    """
    first, last = row_cuts[r], row_cuts[r + 1]
    C, final = column_cuts.size - 1, rows.size - 1
    sums, ahead = sums_of(Z, z + first * z_step, last - first, z_step, N), ahead_in(X)
    for k in range(first, last):
        for i in range(N):
            sums[(k - first) * N + i] = bias[k]
    for c in range(C):
        p, stop = starts[r * C + c], starts[r * C + c + 1]
        at = x + column_cuts[c] * N
        while p < stop:
            count = run_length(rows, p, stop)
            if count == 1:
                p = one(N, w, rows, columns, p, stop, final, count, ahead, X, at, sums, 0)
            elif count == 2:
                p = two(N, w, rows, columns, p, stop, final, count, ahead, X, at, sums, 0)
            elif count == 3:
                p = three(N, w, rows, columns, p, stop, final, count, ahead, X, at, sums, 0)
            else:
                p = more(N, w, rows, columns, p, stop, final, count, ahead, X, at, sums, 0)
    for k in range(first, last):
        write_back_sums(sums, (k - first) * N, Z, z + k * z_step, z_step, N)
        activate_row(Z, z + k * z_step, k, n, N, unit, bits)


@njit(error_model="numpy")
def backward_chunk(
    c, row_cuts, column_cuts, starts, rows, columns, w, first, second,
    X, DZ, DX, N, G, rule, unit, bits,
):  # fmt: skip
    """Compute DW = DZ X^T where W has connections, DX = W^T DZ through the unit below, and update W
    if the rule does.

    Processes column c of blocks; or row c if DX is empty, which means that it is not needed. DX
    uses the weights before the update.

    first, second (nnz,)  the optimizer's state
    X, DZ, DX flat        (D, N), (K, N), (D, N)
    G      (nnz,)         receives the gradient if the rule keeps it; else empty
    bits                  the bits of the unit below
    """
    R, C, last, ahead = row_cuts.size - 1, column_cuts.size - 1, rows.size - 1, ahead_in(X)
    own = np.empty(PIECE + 16, dtype=np.float32)
    wanted = DX.size > 0
    begin, end = (column_cuts[c], column_cuts[c + 1]) if wanted else (0, 0)
    sums = sums_of(DX, begin * N, end - begin, N, N)
    for i in range((end - begin) * N):
        sums[i] = 0.0
    for number in range(R if wanted else C):
        row, column = (number, c) if wanted else (c, number)
        z, x = row_cuts[row] * N, column_cuts[column] * N
        start, stop = starts[row * C + column], starts[row * C + column + 1]
        for p in range(start, stop, PIECE):
            to = min(p + PIECE, stop)
            if wanted:
                downstream_part(
                    N, w, rows, columns, p, to, last, ahead, DZ, z, X, x, sums, 0, own, 0
                )
            else:
                dots_part(N, w, rows, columns, p, to, last, ahead, DZ, z, X, x, sums, 0, own, 0)
            if rule.kind == KEEP:
                for i in range(to - p):
                    G[p + i] = own[i]
            else:
                update(w, first, second, own, p, to, 0, rule)
    for j in range(begin, end):
        write_back_sums(sums, (j - begin) * N, DX, j * N, N, N)
        deactivate_row(DX, j * N, j, 0, N, unit, bits)


@in_parallel
@njit(forceinline=True, error_model="numpy")
def copy_contiguous(j, X, at, stride, count, out):
    """Copy `count` samples of neuron j, from X[at + j stride] on, to out[j count] on."""
    for i in range(count):
        out[j * count + i] = X[at + j * stride + i]


forward_chunks, backward_chunks = in_parallel(forward_chunk), in_parallel(backward_chunk)


@njit(cache=True, error_model="numpy")
def forward(
    row_cuts, column_cuts, starts, rows, columns, w, bias, X, x, Z, z, N, unit, bits
):  # fmt: skip
    """Z = unit(W X + b) for any number of samples, 8 at a time. X and Z have the layouts x and
    z."""
    D = column_cuts[-1]
    few = np.empty(D * LARGEST if N > LARGEST else 0, dtype=X.dtype)
    # a connection counts as LARGEST multiply-adds: smaller batches take as long
    before = threads_for(LARGEST * rows.size)
    for n in range(0, N, LARGEST):
        count = min(LARGEST, N - n)
        at = n // x.tile * x.step + n % x.tile
        to = n // z.tile * z.step + n % z.tile
        source = X
        if N > LARGEST:
            copy_contiguous(D, (X, at, x.stride, count, few))
            source, at = few, 0
        given = (
            row_cuts, column_cuts, starts, rows, columns, w, bias,
            source, at, Z, to, z.stride, n, count, unit, bits,
        )  # fmt: skip
        forward_chunks(row_cuts.size - 1, given)
    restore_threads(before)


@njit(cache=True, error_model="numpy")
def backward(
    row_cuts, column_cuts, starts, rows, columns, w, first, second,
    X, DZ, DX, N, G, rule, unit, bits,
):  # fmt: skip
    """Run all chunks of `backward_chunk`."""
    before = threads_for(2 * LARGEST * rows.size)
    given = (
        row_cuts, column_cuts, starts, rows, columns, w, first, second,
        X, DZ, DX, N, G, rule, unit, bits,
    )  # fmt: skip
    backward_chunks(column_cuts.size - 1 if DX.size > 0 else row_cuts.size - 1, given)
    restore_threads(before)
