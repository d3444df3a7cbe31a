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
from numba import njit, prange, types
from numba.extending import overload

from sparsebench_plugins.backends.numba_csr.arguments import CACHE, KEEP, LARGEST
from sparsebench_plugins.backends.numba_csr.block_order_kernels import run_length
from sparsebench_plugins.backends.numba_csr.connection_kernels import (
    backward_block,
    forward_rows,
)
from sparsebench_plugins.backends.numba_csr.elementwise import (
    activate_row,
    deactivate_row,
    update,
)
from sparsebench_plugins.backends.numba_csr.simd import load_few, store_few
from sparsebench_plugins.backends.numba_csr.threads import threads_again, threads_for

PIECE = 1024
"""Connections whose gradients are computed before they are updated: 4 KiB, which fit in the L1
cache."""

AHEAD = 32
"""Prefetch distance in connections."""

downstream_part, dots_part = backward_block(True), backward_block(False)


def forward_block(strided):
    """Add a block's part of W X to Z."""
    one, two, three, more = (forward_rows(length, strided) for length in (1, 2, 3, None))

    @njit(error_model="numpy")
    def add_block(N, w, rows, columns, start, stop, ahead, X, x, x_step, Z, z, z_step):
        p, last = start, rows.size - 1
        while p < stop:
            count = run_length(rows, p, stop)
            if count == 1:
                p = one(
                    N, w, rows, columns, p, stop, last, count, ahead, X, x, x_step, Z, z, z_step
                )
            elif count == 2:
                p = two(
                    N, w, rows, columns, p, stop, last, count, ahead, X, x, x_step, Z, z, z_step
                )
            elif count == 3:
                p = three(
                    N, w, rows, columns, p, stop, last, count, ahead, X, x, x_step, Z, z, z_step
                )
            else:
                p = more(
                    N, w, rows, columns, p, stop, last, count, ahead, X, x, x_step, Z, z, z_step
                )

    return add_block


forward_packed, forward_strided = forward_block(False), forward_block(True)


def sums_of(A, start, rows, step, N):
    """The array for the sums of `rows` neurons, and the distance from one neuron to the next: A
    from `start` on if it is float32, else a new array with N samples per neuron."""
    raise NotImplementedError


def settle(sums, s, A, a, N):
    """If `sums` is not A itself, A[a : a + N] = sums[s : s + N], rounded."""
    raise NotImplementedError


@overload(sums_of)
def _sums_of(A, start, rows, step, N):
    if A.dtype == types.float32:
        return lambda A, start, rows, step, N: (A[start:], step)
    return lambda A, start, rows, step, N: (np.empty(rows * N, dtype=np.float32), N)


@overload(settle)
def _settle(sums, s, A, a, N):
    if A.dtype == types.float32:
        return lambda sums, s, A, a, N: None
    return lambda sums, s, A, a, N: store_few(A, a, load_few(sums, s, N), N)


@njit(error_model="numpy")
def ahead_in(A):
    """The prefetch distance; 0 if all neurons fit into an L2 cache. A block's neurons always fit,
    but they are only cached after the first access, and may be evicted when other programs run."""
    return AHEAD if A.size * A.itemsize > CACHE else 0


def forward_rows_of_blocks(add_packed, add_strided):
    """Make the function for a row of blocks, given the functions that add one block."""

    @njit(error_model="numpy")
    def chunk(
        r, row_cuts, column_cuts, starts, rows, columns, w, bias,
        X, x, x_step, Z, z, z_step, n, N, unit, bits,
    ):  # fmt: skip
        """Compute row r of blocks of Z = unit(W X + b), for samples n..n + N - 1 with N <= 8.

        X, Z  flat: the samples of neuron j begin at x + j x_step and z + j z_step
        bits  (K, row_bytes) flat, written: the bits that the unit needs for backward
        """
        first, last = row_cuts[r], row_cuts[r + 1]
        C = column_cuts.size - 1
        sums, step = sums_of(Z, z + first * z_step, last - first, z_step, N)
        for k in range(first, last):
            for i in range(N):
                sums[(k - first) * step + i] = bias[k]
        packed, ahead = x_step == N and step == N, ahead_in(X)
        for c in range(C):
            start, stop = starts[r * C + c], starts[r * C + c + 1]
            at = x + column_cuts[c] * x_step
            if packed:
                add_packed(N, w, rows, columns, start, stop, ahead, X, at, x_step, sums, 0, step)
            else:
                add_strided(N, w, rows, columns, start, stop, ahead, X, at, x_step, sums, 0, step)
        for k in range(first, last):
            settle(sums, (k - first) * step, Z, z + k * z_step, N)
            activate_row(Z, z + k * z_step, k, n, N, unit, bits)

    return chunk


forward_chunk = forward_rows_of_blocks(forward_packed, forward_strided)
packed_forward_chunk = forward_rows_of_blocks(forward_packed, forward_packed)
"""The function for plain arrays of at most LARGEST samples; it compiles in half the time."""


@njit(error_model="numpy")
def backward_one(
    start, stop, rows, columns, w, first, second, DZ, z, X, x, DX, N, G, own, rule
):  # fmt: skip
    """The backward pass of connections start to stop - 1 of one block: computes the gradient of
    each weight, a dot product over the samples, and updates it; adds to DX unless that is empty.

    own  scratch array for the gradients of PIECE connections
    """
    last, ahead = rows.size - 1, ahead_in(X)
    for p in range(start, stop, PIECE):
        end = min(p + PIECE, stop)
        if DX.size > 0:
            downstream_part(N, w, rows, columns, p, end, last, ahead, DZ, z, X, x, DX, 0, own, 0)
        else:
            dots_part(N, w, rows, columns, p, end, last, ahead, DZ, z, X, x, DX, 0, own, 0)
        if rule.kind == KEEP:
            for i in range(end - p):
                G[p + i] = own[i]
        else:
            update(w, first, second, own, p, end, 0, rule)


@njit(error_model="numpy")
def backward_chunk(
    c, row_cuts, column_cuts, starts, rows, columns, w, first, second,
    X, DZ, DX, N, G, rule, unit, bits,
):  # fmt: skip
    """Compute DW = DZ X^T on the pattern, DX = W^T DZ through the unit below, and update W.

    Processes column c of blocks; or row c if DX is empty, which means that it is not needed. DX
    uses the weights before the update.

    first, second (nnz,)  the optimizer's state
    X, DZ, DX flat        (D, N), (K, N), (D, N)
    G      (nnz,)         receives the gradient if the rule keeps it; else empty
    bits                  the bits of the unit below
    """
    R, C = row_cuts.size - 1, column_cuts.size - 1
    own = np.empty(PIECE + 16, dtype=np.float32)
    if DX.size == 0:
        for b in range(c * C, (c + 1) * C):
            x = column_cuts[b - c * C] * N
            backward_one(
                starts[b], starts[b + 1], rows, columns, w, first, second,
                DZ, row_cuts[c] * N, X, x, own[:0], N, G, own, rule,
            )  # fmt: skip
        return
    begin, end = column_cuts[c], column_cuts[c + 1]
    sums, _ = sums_of(DX, begin * N, end - begin, N, N)
    for i in range((end - begin) * N):
        sums[i] = 0.0
    for r in range(R):
        b = r * C + c
        backward_one(
            starts[b], starts[b + 1], rows, columns, w, first, second,
            DZ, row_cuts[r] * N, X, begin * N, sums, N, G, own, rule,
        )  # fmt: skip
    for j in range(begin, end):
        settle(sums, (j - begin) * N, DX, j * N, N)
        deactivate_row(DX, j * N, j, 0, N, unit, bits)


@njit(cache=True, parallel=True, error_model="numpy")
def forward(
    row_cuts, column_cuts, starts, rows, columns, w, bias, X, x, Z, z, N, unit, bits
):  # fmt: skip
    """Z = unit(W X + b) for any number of samples, 8 at a time. X and Z have the layouts x and
    z."""
    # a connection counts as LARGEST multiply-adds: smaller batches take as long
    before = threads_for(LARGEST * rows.size)
    for n in range(0, N, LARGEST):
        at = n // x.tile * x.step + n % x.tile
        to = n // z.tile * z.step + n % z.tile
        for r in prange(row_cuts.size - 1):
            forward_chunk(
                r, row_cuts, column_cuts, starts, rows, columns, w, bias,
                X, at, x.stride, Z, to, z.stride, n, min(LARGEST, N - n), unit, bits,
            )  # fmt: skip
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def backward(
    row_cuts, column_cuts, starts, rows, columns, w, first, second,
    X, DZ, DX, N, G, rule, unit, bits,
):  # fmt: skip
    """Run all chunks of `backward_chunk`."""
    before = threads_for(2 * LARGEST * rows.size)
    chunks = column_cuts.size - 1 if DX.size > 0 else row_cuts.size - 1
    for c in prange(chunks):
        backward_chunk(
            c, row_cuts, column_cuts, starts, rows, columns, w, first, second,
            X, DZ, DX, N, G, rule, unit, bits,
        )  # fmt: skip
    threads_again(before)
