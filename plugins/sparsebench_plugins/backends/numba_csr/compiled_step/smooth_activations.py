"""Kernels for activations that are not piecewise linear; `sparsebench_plugins.activation_units` has
their numpy versions.

Each runs on a tile of one layer's neurons right after the layer's own kernel, while the tile is in
a cache.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import cfunc, njit

from sparsebench_plugins.backends.numba_csr.activation_kernels import GOLDEN, mix
from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import KERNEL, step_of, sum_of
from sparsebench_plugins.backends.numba_csr.compiled_step.records import CURVE

TANH, SIGMOID, SRELU = range(3)


@njit(forceinline=True, error_model="numpy")
def factor(C, row, n):
    """The factor of dropout for sample n; `row` is the key of the neuron."""
    if C.threshold > 0 and mix(np.uint32(row + np.uint32(n) * GOLDEN)) < C.threshold:
        return np.float32(0.0)
    return C.scale


@njit(forceinline=True)
def row_key(C, step, k):
    key = mix(np.uint32(C.key + np.uint32(step.t) * GOLDEN))
    return mix(np.uint32(np.uint32(k) * GOLDEN + key))


@njit(forceinline=True)
def parameter(C, number):
    """One of SReLU's (K,) vectors t_left, a_left, t_right, a_right, by number."""
    return array_at(array_at(C.parameters, 4, np.int64)[number], C.K, np.float32)


@lru_cache
def forward() -> int:
    """The address of the kernel for A = dropout(f(Z)), in place."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CURVE)[0]
        step = step_of(C)
        n = tile * step.width
        count = min(step.width, step.padded - n)
        bounds = array_at(C.bounds, chunk + 2, np.int64)
        A, kept = array_at(C.A, 1, np.float32), array_at(C.kept, 1, np.float32)
        start = n // C.tile * C.step_stride + n % C.tile
        one = np.float32(1.0)
        for k in range(bounds[chunk], bounds[chunk + 1]):
            at, row = start + k * C.stride, row_key(C, step, k)
            for i in range(count):
                z = A[at + i]
                f = factor(C, row, n + i)
                if C.kind == TANH:
                    a = np.float32(math.tanh(z))
                    kept[at + i] = (one - a * a) * f
                elif C.kind == SIGMOID:
                    small = np.exp(-abs(z))
                    a = (one if z >= 0 else small) / (one + small)
                    kept[at + i] = a * (one - a) * f
                else:
                    t_left, a_left = parameter(C, 0)[k], parameter(C, 1)[k]
                    t_right, a_right = parameter(C, 2)[k], parameter(C, 3)[k]
                    kept[at + i] = z
                    a = z
                    if t_left >= z:
                        a = t_left + a_left * (z - t_left)
                    if t_right <= z:
                        a = t_right + a_right * (z - t_right)
                A[at + i] = a * f

    return int(kernel.address)


@lru_cache
def backward() -> int:
    """The address of the kernel that turns DA into DZ in place, and sums DZ, for the bias, and the
    gradients of SReLU's parameters over the samples."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CURVE)[0]
        step = step_of(C)
        n = tile * step.width
        count = min(step.width, step.padded - n)
        bounds = array_at(C.bounds, chunk + 2, np.int64)
        D, kept = array_at(C.DA, 1, np.float32), array_at(C.kept, 1, np.float32)
        start = n // C.tile * C.step_stride + n % C.tile
        piece, more = tile // step.per_piece, tile % step.per_piece > 0
        sums = array_at(C.bias_partial + 4 * piece * C.K, C.K, np.float32)
        for k in range(bounds[chunk], bounds[chunk + 1]):
            at = start + k * C.stride
            if C.kind == SRELU:
                srelu_row(C, step, k, D, kept, at, n, count, piece, more)
            else:
                for i in range(count):
                    D[at + i] *= kept[at + i]
            sums[k] = sum_of(D, at, count) + (sums[k] if more else np.float32(0.0))

    return int(kernel.address)


@njit(error_model="numpy")
def srelu_row(C, step, k, D, Z, at, n, count, piece, more):
    row, one = row_key(C, step, k), np.float32(1.0)
    t_left, a_left = parameter(C, 0)[k], parameter(C, 1)[k]
    t_right, a_right = parameter(C, 2)[k], parameter(C, 3)[k]
    of_t_left = of_a_left = of_t_right = of_a_right = np.float32(0.0)
    for i in range(count):
        z, d = Z[at + i], D[at + i] * factor(C, row, n + i)
        if t_right <= z:
            of_t_right += (one - a_right) * d
            of_a_right += (z - t_right) * d
            d *= a_right
        elif t_left >= z:
            of_t_left += (one - a_left) * d
            of_a_left += (z - t_left) * d
            d *= a_left
        D[at + i] = d
    partial = array_at(C.partial, 4, np.int64)
    for number, found in enumerate((of_t_left, of_a_left, of_t_right, of_a_right)):
        sums = array_at(partial[number] + 4 * piece * C.K, C.K, np.float32)
        sums[k] = found + (sums[k] if more else np.float32(0.0))
