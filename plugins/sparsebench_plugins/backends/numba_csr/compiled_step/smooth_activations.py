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

from sparsebench_plugins.backends.numba_csr.activation_kernels import ALL, GOLDEN, mix
from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import KERNEL, step_of, sum_of
from sparsebench_plugins.backends.numba_csr.compiled_step.records import CURVE
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    add,
    below_zero,
    choose,
    fma,
    kept_bits,
    load,
    load_few,
    multiply,
    scaled,
    splat,
    store,
    store_few,
    total,
)

TANH, SIGMOID, SRELU = range(3)


@njit(forceinline=True, error_model="numpy")
def dropped(C, row, n, v):
    """v times the factor of dropout for samples n..n + WIDTH - 1; `row` is the neuron's key."""
    stays = kept_bits(row, n, C.threshold) if C.threshold > 0 else ALL
    return scaled(v, np.uint32(0), stays, C.scale, C.scale)


@njit(error_model="numpy")
def drop_row(C, row, A, at, n, count):
    """Multiply samples n..n + count - 1 of a neuron, which begin at A[at], by dropout's factor."""
    for i in range(0, count - WIDTH + 1, WIDTH):
        store(A, at + i, dropped(C, row, n + i, load(A, at + i)))
    i = count - count % WIDTH
    if i < count:
        v = dropped(C, row, n + i, load_few(A, at + i, count - i))
        store_few(A, at + i, v, count - i)


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
        for k in range(bounds[chunk], bounds[chunk + 1]):
            at, row = start + k * C.stride, row_key(C, step, k)
            if C.kind == SRELU:
                numbers = srelu_numbers(C, k)
                for i in range(0, count - WIDTH + 1, WIDTH):
                    z = load(A, at + i)
                    store(kept, at + i, z)
                    store(A, at + i, dropped(C, row, n + i, srelu(z, numbers)))
                i = count - count % WIDTH
                if i < count:
                    z = load_few(A, at + i, count - i)
                    store_few(kept, at + i, z, count - i)
                    a = dropped(C, row, n + i, srelu(z, numbers))
                    store_few(A, at + i, a, count - i)
                continue
            if C.kind == TANH:
                tanh_row(A, kept, at, count)
            else:
                sigmoid_row(A, kept, at, count)
            drop_row(C, row, A, at, n, count)
            drop_row(C, row, kept, at, n, count)

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
def tanh_row(A, slopes, at, count):
    """A = tanh(A), and its derivative."""
    for i in range(at, at + count):
        a = np.float32(math.tanh(A[i]))
        A[i] = a
        slopes[i] = np.float32(1.0) - a * a


@njit(error_model="numpy")
def sigmoid_row(A, slopes, at, count):
    """A = sigmoid(A), and its derivative."""
    one = np.float32(1.0)
    for i in range(at, at + count):
        z = A[i]
        small = np.exp(-abs(z))
        a = (one if z >= 0 else small) / (one + small)
        A[i] = a
        slopes[i] = a * (one - a)


@njit(forceinline=True, error_model="numpy")
def srelu_numbers(C, k):
    """t_left, a_left, t_right, a_right of neuron k."""
    return parameter(C, 0)[k], parameter(C, 1)[k], parameter(C, 2)[k], parameter(C, 3)[k]


@njit(forceinline=True, error_model="numpy")
def sides(z, numbers):
    """z - t_left and z - t_right, and the bits of the lanes on the left and on the right; a lane on
    both sides counts as right."""
    from_left, from_right = add(z, splat(-numbers[0])), add(z, splat(-numbers[2]))
    right = ALL ^ below_zero(from_right)
    left = (ALL ^ below_zero(multiply(from_left, splat(np.float32(-1.0))))) & ~right
    return from_left, from_right, np.uint32(left), np.uint32(right)


@njit(forceinline=True, error_model="numpy")
def srelu(z, numbers):
    t_left, a_left, t_right, a_right = numbers
    from_left, from_right, left, right = sides(z, numbers)
    a = choose(left, fma(from_left, splat(a_left), splat(t_left)), z)
    return choose(right, fma(from_right, splat(a_right), splat(t_right)), a)


@njit(forceinline=True, error_model="numpy")
def srelu_gradient(z, d, numbers, sums):
    """DZ of WIDTH samples from their DA, and the four sums over samples with these added: of DA on
    the left, of DA (z - t_left) there, and the same on the right."""
    nothing = splat(np.float32(0.0))
    from_left, from_right, left, right = sides(z, numbers)
    on_left, on_right = choose(left, d, nothing), choose(right, d, nothing)
    sums = (
        add(sums[0], on_left), fma(on_left, from_left, sums[1]),
        add(sums[2], on_right), fma(on_right, from_right, sums[3]),
    )  # fmt: skip
    d = choose(left, multiply(d, splat(numbers[1])), d)
    return choose(right, multiply(on_right, splat(numbers[3])), d), sums


@njit(error_model="numpy")
def srelu_row(C, step, k, D, Z, at, n, count, piece, more):
    row, one, numbers = row_key(C, step, k), np.float32(1.0), srelu_numbers(C, k)
    nothing = splat(np.float32(0.0))
    sums = (nothing, nothing, nothing, nothing)
    for i in range(0, count - WIDTH + 1, WIDTH):
        d = dropped(C, row, n + i, load(D, at + i))
        d, sums = srelu_gradient(load(Z, at + i), d, numbers, sums)
        store(D, at + i, d)
    i = count - count % WIDTH
    if i < count:
        d = dropped(C, row, n + i, load_few(D, at + i, count - i))
        d, sums = srelu_gradient(load_few(Z, at + i, count - i), d, numbers, sums)
        store_few(D, at + i, d, count - i)
    found = (
        (one - numbers[1]) * total(sums[0]), total(sums[1]),
        (one - numbers[3]) * total(sums[2]), total(sums[3]),
    )  # fmt: skip
    partial = array_at(C.partial, 4, np.int64)
    for number in range(4):
        of_piece = array_at(partial[number] + 4 * piece * C.K, C.K, np.float32)
        of_piece[k] = found[number] + (of_piece[k] if more else np.float32(0.0))
