"""The kernels of a step (forward, backward, weight updates), each compiled once for its types as
void(record, tile, chunk).

A kernel processes one tile of the samples for one chunk of neurons, or a range of connections. Its
arrays and numbers are in a record (`records`), so that networks of any size, activation and
optimizer share the compiled code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numba import cfunc, njit, types

from sparsebench_plugins.backends.numba_csr.activation_kernels import (
    GOLDEN,
    activate_row,
    deactivate_row,
    mix,
)
from sparsebench_plugins.backends.numba_csr.arguments import Rule, UnitNumbers
from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import (
    array_at,
    call,
    nanoseconds,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import (
    LAYER,
    RULE,
    SEQUENCE,
    STEP,
    VECTOR,
)
from sparsebench_plugins.backends.numba_csr.large_batch import (
    PIECE,
    forward_row,
    make_backward_column,
)
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    add,
    load,
    load_few,
    load_some,
    splat,
    total,
)
from sparsebench_plugins.backends.numba_csr.update_kernels import (
    absorb,
    update,
    update_one,
    update_some,
)

KERNEL = types.void(types.int64, types.int64, types.int64)
Dtype: TypeAlias = Any
"""A scalar type of numpy: float32, uint16 (bits of bfloat16), int32 or int64."""

downstream_column, dots_column = make_backward_column(True), make_backward_column(False)


@njit(forceinline=True)
def step_of(record):
    return array_at(record.step, 1, STEP)[0]


@njit(forceinline=True)
def rule_of(step, number):
    """The optimizer's rule for this step: number 0 for weights, 1 for biases."""
    return rule_at(step.rules, number)


@njit(forceinline=True)
def rule_at(address, number):
    """The optimizer's rule for weights (number 0) or biases (1), from the table at the address."""
    r = array_at(address, number + 1, RULE)[number]
    return Rule(
        r.kind, r.rate, r.coupled, r.shrink, r.momentum, r.nesterov != 0, r.beta1, r.rest1,
        r.beta2, r.rest2, r.unbias, r.tiny,
    )  # fmt: skip


@njit(forceinline=True)
def numbers_at(mode, above, below, key, threshold, row_bytes, t):
    """The arguments of a layer's activation and dropout at step t; `key` is that of all steps."""
    mixed = mix(np.uint32(key + np.uint32(t) * GOLDEN))
    return UnitNumbers(mode, above, below, mixed, threshold, row_bytes)


@njit(error_model="numpy")
def sum_of(A, a, count):
    """The sum of A[a : a + count]."""
    parts = splat(np.float32(0.0))
    i = 0
    while i + WIDTH <= count:
        parts = add(parts, load(A, a + i))
        i += WIDTH
    if i < count:
        parts = add(parts, load_few(A, a + i, count - i))
    return total(parts)


@lru_cache
def forward(index: Dtype, x: Dtype, z: Dtype) -> int:
    """The address of the kernel for Z = unit(W X + b), for a tile and a chunk of rows."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        L = array_at(address, 1, LAYER)[0]
        step = step_of(L)
        n = tile * step.width
        count = min(step.width, step.padded - n)
        indptr, indices = array_at(L.indptr, L.K + 1, index), array_at(L.indices, L.nnz, index)
        data, bias = array_at(L.data, L.nnz, np.float32), array_at(L.bias, L.K, np.float32)
        bounds = array_at(L.row_bounds, chunk + 2, np.int64)
        X, Z = array_at(L.X, 1, x), array_at(L.Z, 1, z)
        at = n // L.x_tile * L.x_step + n % L.x_tile
        to = n // L.z_tile * L.z_step + n % L.z_tile
        bits = array_at(L.own_bits + tile * L.own_bits_step - n // 8, 1, np.uint8)
        unit = numbers_at(
            L.own_mode, L.own_above, L.own_below, L.own_key, L.own_threshold, L.own_bits_row, step.t
        )
        for k in range(bounds[chunk], bounds[chunk + 1]):
            start, stop = np.int64(indptr[k]), np.int64(indptr[k + 1])
            row = to + k * L.z_stride
            forward_row(
                data, indices, start, stop, X, L.x_stride, at, bias[k], Z, row, count, L.ahead_x
            )
            activate_row(Z, row, k, n, count, unit, bits)

    return int(kernel.address)


@lru_cache
def backward(index: Dtype, z: Dtype, x: Dtype, state: Dtype, stored: bool) -> int:
    """The address of the kernel that, for a tile of samples and a chunk of columns, computes the
    gradient of the weights and replaces X by DZ of the layer below.

    stored  whether gradients are written to `partial`, for `update_weights`. If not, W is updated
            at once; with several tiles, their parts of the gradient are added to SGD's velocity
    """

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        L = array_at(address, 1, LAYER)[0]
        step = step_of(L)
        n = tile * step.width
        count = min(step.width, step.padded - n)
        indptr, rows = array_at(L.t_indptr, L.D + 1, index), array_at(L.rows, L.nnz, index)
        w, bounds = array_at(L.w, L.nnz, np.float32), array_at(L.column_bounds, chunk + 2, np.int64)
        X, DZ = array_at(L.X, 1, x), array_at(L.Z, 1, z)
        at = n // L.z_tile * L.z_step + n % L.z_tile
        source = n // L.x_tile * L.x_step + n % L.x_tile
        bits = array_at(L.under_bits + tile * L.under_bits_step - n // 8, 1, np.uint8)
        unit = numbers_at(
            L.under_mode, L.under_above, L.under_below, L.under_key, L.under_threshold,
            L.under_bits_row, step.t,
        )  # fmt: skip
        piece = tile // step.per_piece
        more = tile % step.per_piece > 0
        sums = array_at(L.below_bias_partial + 4 * piece * L.D, L.D, np.float32)
        if stored:
            G = array_at(L.partial + 4 * piece * L.nnz, L.nnz, np.float32)
        else:
            G = np.empty(PIECE + L.widest, dtype=np.float32)
            first, second = array_at(L.first, L.nnz, state), array_at(L.second, L.nnz, state)
            rule = rule_of(step, 0)
        done = np.int64(indptr[bounds[chunk]])
        for j in range(bounds[chunk], bounds[chunk + 1]):
            start, stop = np.int64(indptr[j]), np.int64(indptr[j + 1])
            xj = source + j * L.x_stride
            g = start if stored else start - done
            add_up = stored and more
            if L.backward:
                downstream_column(
                    w, rows, start, stop, DZ, L.z_stride, at,
                    X, xj, X, xj, G, g, count, add_up, L.ahead_z,
                )  # fmt: skip
                deactivate_row(X, xj, j, n, count, unit, bits)
                if L.below_bias_partial:
                    sums[j] = sum_of(X, xj, count) + (sums[j] if more else np.float32(0.0))
            else:
                dots_column(
                    w, rows, start, stop, DZ, L.z_stride, at,
                    X, xj, X, 0, G, g, count, add_up, L.ahead_z,
                )  # fmt: skip
            if not stored and (stop - done >= PIECE or j == bounds[chunk + 1] - 1):
                if step.tiles == 1:
                    update(w, first, second, G, done, stop, 0, rule)
                else:
                    absorb(w, first, G, done, stop, tile == 0, tile == step.tiles - 1, rule)
                done = stop

    return int(kernel.address)


@njit(error_model="numpy")
def update_summed(w, first, second, start, stop, parts, size, pieces, rule):
    """Update w[start : stop] by the sum of its partial gradients (pieces, size), added in order."""
    p = start
    while p + WIDTH <= stop:
        g = load(parts, p)
        for piece in range(1, pieces):
            g = add(g, load(parts, piece * size + p))
        update_one(w, first, second, p, g, rule)
        p += WIDTH
    if p < stop:
        count = stop - p
        g = load_some(parts, p, count)
        for piece in range(1, pieces):
            g = add(g, load_some(parts, piece * size + p, count))
        update_some(w, first, second, p, count, g, rule)


@lru_cache
def update_weights(state: Dtype) -> int:
    """The address of the kernel that updates connections `start` to `stop` - 1 by column."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, start, stop):
        L = array_at(address, 1, LAYER)[0]
        step = step_of(L)
        w = array_at(L.w, L.nnz, np.float32)
        first, second = array_at(L.first, L.nnz, state), array_at(L.second, L.nnz, state)
        parts = array_at(L.partial, 1, np.float32)
        pieces = (step.tiles + step.per_piece - 1) // step.per_piece
        update_summed(w, first, second, start, stop, parts, L.nnz, pieces, rule_of(step, 0))

    return int(kernel.address)


@lru_cache
def copy_weights(index: Dtype) -> int:
    """The address of the kernel that copies the new weights of connections `start` to `stop` - 1,
    counted in csr order, from the order by column to csr."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, start, stop):
        L = array_at(address, 1, LAYER)[0]
        place, data = array_at(L.place, L.nnz, index), array_at(L.data, L.nnz, np.float32)
        w = array_at(L.w, L.nnz, np.float32)
        for p in range(start, stop):
            data[p] = w[place[p]]

    return int(kernel.address)


@lru_cache
def update_vector() -> int:
    """The address of the kernel that updates a bias or another trained vector."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, start, stop):
        V = array_at(address, 1, VECTOR)[0]
        step = step_of(V)
        w, first = array_at(V.values, V.size, np.float32), array_at(V.first, V.size, np.float32)
        second = array_at(V.second, V.size, np.float32)
        parts = array_at(V.partial, 1, np.float32)
        pieces = (step.tiles + step.per_piece - 1) // step.per_piece
        update_summed(w, first, second, 0, V.size, parts, V.size, pieces, rule_of(step, 1))

    return int(kernel.address)


@lru_cache
def sequence() -> int:
    """The address of the kernel that calls the kernels of a SEQUENCE one after the other for each
    tile of a piece (`per_piece` tiles), and measures how long each takes."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, piece, chunk):
        Q = array_at(address, 1, SEQUENCE)[0]
        step = step_of(Q)
        times = Q.times + 8 * piece * Q.times_stride
        taken = array_at(times + 16, Q.count, np.int64)
        first = piece * step.per_piece
        began = nanoseconds(times)
        for tile in range(first, min(first + step.per_piece, step.tiles)):
            for i in range(Q.count):
                item = array_at(Q.items + 32 * i, 4, np.int64)
                call(item[0], item[1], tile, 0)
                ended = nanoseconds(times)
                taken[i] += ended - began
                began = ended

    return int(kernel.address)
