"""The kernels of a step for few samples and many connections, which are stored in blocks.

Their signature is that of `operations`: void(record, tile, chunk), where there is only one tile. A
chunk is a row of blocks in forward and a column of blocks in backward (`small_batch`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import cfunc, njit

from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import (
    KERNEL,
    Dtype,
    numbers_at,
    rule_of,
    step_of,
    sum_of,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import LAYER
from sparsebench_plugins.backends.numba_csr.small_batch import backward_chunk, forward_chunk


@njit(forceinline=True)
def blocks_of(L):
    """The arrays of the blocks: row_cuts, column_cuts, starts, rows, columns."""
    return (
        array_at(L.row_cuts, L.R + 1, np.int64),
        array_at(L.column_cuts, L.C + 1, np.int64),
        array_at(L.starts, L.R * L.C + 1, np.int64),
        array_at(L.rows, L.nnz, np.uint16),
        array_at(L.columns, L.nnz, np.uint16),
    )


@lru_cache
def forward(x: Dtype, z: Dtype) -> int:
    """The address of the kernel for Z = unit(W X + b), for a row of blocks."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        L = array_at(address, 1, LAYER)[0]
        step = step_of(L)
        N = step.N
        row_cuts, column_cuts, starts, rows, columns = blocks_of(L)
        unit = numbers_at(
            L.own_mode, L.own_above, L.own_below, L.own_key, L.own_threshold, L.own_bits_row, step.t
        )
        forward_chunk(
            chunk, row_cuts, column_cuts, starts, rows, columns,
            array_at(L.w, L.nnz, np.float32), array_at(L.bias, L.K, np.float32),
            array_at(L.X, L.D * N, x), 0, array_at(L.Z, L.K * N, z), 0, N, 0, N, unit,
            array_at(L.own_bits, 1, np.uint8),
        )  # fmt: skip

    return int(kernel.address)


@lru_cache
def backward(z: Dtype, x: Dtype, state: Dtype) -> int:
    """The address of the kernel that computes DX for a column of blocks, through the unit below,
    and updates the weights; if DX is not needed, it takes a row of blocks."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        L = array_at(address, 1, LAYER)[0]
        step = step_of(L)
        N = step.N
        row_cuts, column_cuts, starts, rows, columns = blocks_of(L)
        unit = numbers_at(
            L.under_mode, L.under_above, L.under_below, L.under_key, L.under_threshold,
            L.under_bits_row, step.t,
        )  # fmt: skip
        w = array_at(L.w, L.nnz, np.float32)
        DX = array_at(L.DX, L.D * N if L.backward else 0, x)
        backward_chunk(
            chunk, row_cuts, column_cuts, starts, rows, columns, w,
            array_at(L.first, L.nnz, state), array_at(L.second, L.nnz, state),
            array_at(L.X, L.D * N, x), array_at(L.DZ, L.K * N, z), DX, N,
            array_at(L.w, 0, np.float32), rule_of(step, 0), unit,
            array_at(L.under_bits, 1, np.uint8),
        )  # fmt: skip
        if L.below_bias_partial:
            sums = array_at(L.below_bias_partial, L.D, np.float32)
            for j in range(column_cuts[chunk], column_cuts[chunk + 1]):
                sums[j] = sum_of(DX, j * N, N)

    return int(kernel.address)
