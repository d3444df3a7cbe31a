"""Elementwise kernels with explicit vectors: activation and dropout over samples, and the
optimizers' updates (SGD, momentum, Adam) over connections.

The updates follow the rules of `sparsebench_plugins.optimizers`. State arrays may hold bfloat16.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.arguments import ADAM, NONE, SGD, TRAIN
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    add,
    below_zero,
    divide,
    fma,
    kept_bits,
    load,
    load_bits,
    load_few,
    load_some,
    multiply,
    root,
    scaled,
    splat,
    store,
    store_bits,
    store_few,
    store_some,
)
from sparsebench_plugins.backends.numba_csr.threads import (
    in_parallel,
    threads_again,
    threads_for,
)

GOLDEN = np.uint32(0x9E3779B9)
ALL = np.uint32(0xFFFFFFFF)


@njit(forceinline=True, error_model="numpy")
def mix(x):
    """`sparsebench.core.nn.dropout.mix` for one number. numba widens products of uint32, so they
    are reduced to 32 bits again."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(forceinline=True, error_model="numpy")
def activated(v, row, n, byte, unit, bits):
    """dropout(f(v)) of samples n..n + WIDTH - 1. Writes the bits that backward needs: the signs,
    and after those of the neuron, which samples dropout keeps."""
    sign, stays = below_zero(v), ALL
    if unit.mode == TRAIN:
        store_bits(bits, byte, sign)
        if unit.threshold > 0:
            stays = kept_bits(row, n, unit.threshold)
            store_bits(bits, byte + unit.row_bytes // 2, stays)
    return scaled(v, sign, stays, unit.above, unit.below)


@njit(forceinline=True, error_model="numpy")
def deactivated(d, byte, unit, bits):
    """DZ of the samples whose bits are at `byte`, from DA."""
    stays = ALL
    if unit.threshold > 0:
        stays = load_bits(bits, byte + unit.row_bytes // 2)
    return scaled(d, load_bits(bits, byte), stays, unit.above, unit.below)


@njit(forceinline=True, error_model="numpy")
def activate_row(Z, z, k, n, N, unit, bits):
    """Replace samples n..n + N - 1 of neuron k, which begin at Z[z], by dropout(f(z))."""
    if unit.mode == NONE:
        return
    row = mix(np.uint32(np.uint32(k) * GOLDEN + unit.key))
    byte = k * unit.row_bytes + n // 8
    for i in range(0, N - WIDTH + 1, WIDTH):
        store(Z, z + i, activated(load(Z, z + i), row, n + i, byte + i // 8, unit, bits))
    i = N - N % WIDTH
    if i < N:
        v = load_few(Z, z + i, N - i)
        store_few(Z, z + i, activated(v, row, n + i, byte + i // 8, unit, bits), N - i)


@njit(forceinline=True, error_model="numpy")
def deactivate_row(D, d, k, n, N, unit, bits):
    """Turn DA into DZ in place, for samples n to n + N - 1 of neuron k, which begin at D[d]."""
    if unit.mode == NONE:
        return
    byte = k * unit.row_bytes + n // 8
    for i in range(0, N - WIDTH + 1, WIDTH):
        store(D, d + i, deactivated(load(D, d + i), byte + i // 8, unit, bits))
    i = N - N % WIDTH
    if i < N:
        v = deactivated(load_few(D, d + i, N - i), byte + i // 8, unit, bits)
        store_few(D, d + i, v, N - i)


@in_parallel
@njit(forceinline=True, error_model="numpy")
def activate_rows(k, Z, N, unit, bits):
    activate_row(Z, k * N, k, 0, N, unit, bits)


@njit(cache=True, error_model="numpy")
def activate(Z, K, N, unit, bits):
    """Z (K, N) flat becomes dropout(f(Z))."""
    before = threads_for(K * N)
    activate_rows(K, (Z, N, unit, bits))
    threads_again(before)


@in_parallel
@njit(forceinline=True, error_model="numpy")
def deactivate_rows(k, D, N, unit, bits):
    deactivate_row(D, k * N, k, 0, N, unit, bits)


@njit(cache=True, error_model="numpy")
def deactivate(D, K, N, unit, bits):
    """DA (K, N) flat becomes DZ."""
    before = threads_for(K * N)
    deactivate_rows(K, (D, N, unit, bits))
    threads_again(before)


# --- updates ----------------------------------------------------------------------


@njit(forceinline=True, error_model="numpy")
def sgd(w, v, g, rule):
    """New weights and velocities."""
    step = multiply(splat(-rule.rate), fma(splat(rule.coupled), w, g))
    v = fma(splat(rule.momentum), v, step)
    ahead = fma(splat(rule.momentum), v, step) if rule.nesterov else v
    return fma(splat(rule.shrink), w, ahead), v


@njit(forceinline=True, error_model="numpy")
def adam(w, mean, square, g, rule):
    """New weights, means and squares."""
    g = fma(splat(rule.coupled), w, g)
    mean = fma(splat(rule.beta1), mean, multiply(splat(rule.rest1), g))
    square = fma(splat(rule.beta2), square, multiply(multiply(splat(rule.rest2), g), g))
    size = add(root(multiply(square, splat(rule.unbias))), splat(rule.tiny))
    step = divide(multiply(splat(-rule.rate), mean), size)
    return fma(splat(rule.shrink), w, step), mean, square


@njit(forceinline=True, error_model="numpy")
def update_one(w, first, second, p, g, rule):
    """Update WIDTH connections from p on by the vector of their gradients."""
    if rule.kind == SGD:
        v = load(first, p) if rule.momentum != 0 else splat(np.float32(0.0))
        new, v = sgd(load(w, p), v, g, rule)
        store(w, p, new)
        if rule.momentum != 0:
            store(first, p, v)
    elif rule.kind == ADAM:
        new, mean, square = adam(load(w, p), load(first, p), load(second, p), g, rule)
        store(w, p, new)
        store(first, p, mean)
        store(second, p, square)


@njit(forceinline=True, error_model="numpy")
def update_some(w, first, second, p, count, g, rule):
    """As `update_one`, for only the first `count` connections from p on."""
    if rule.kind == SGD:
        v = load_some(first, p, count) if rule.momentum != 0 else splat(np.float32(0.0))
        new, v = sgd(load_some(w, p, count), v, g, rule)
        store_some(w, p, new, count)
        if rule.momentum != 0:
            store_some(first, p, v, count)
    elif rule.kind == ADAM:
        mean, square = load_some(first, p, count), load_some(second, p, count)
        new, mean, square = adam(load_some(w, p, count), mean, square, g, rule)
        store_some(w, p, new, count)
        store_some(first, p, mean, count)
        store_some(second, p, square, count)


@njit(error_model="numpy")
def update(w, first, second, G, start, stop, g, rule):
    """Update connections start..stop - 1, whose gradients begin at G[g]."""
    p = start
    while p + WIDTH <= stop:
        update_one(w, first, second, p, load(G, g + p - start), rule)
        p += WIDTH
    if p < stop:
        d = load_some(G, g + p - start, stop - p)
        update_some(w, first, second, p, stop - p, d, rule)


@njit(error_model="numpy")
def absorb(w, velocity, G, start, stop, first, final, rule):
    """SGD with momentum for a gradient that comes in parts: each part is added to the velocity at
    once, and the weights are updated with the last part."""
    rate = splat(-rule.rate)
    p = start
    while p < stop:
        count = min(stop - p, WIDTH)
        g = load_some(G, p - start, count)
        v = load_some(velocity, p, count)
        if first:
            g = fma(splat(rule.coupled), load_some(w, p, count), g)
            v = multiply(splat(rule.momentum), v)
        v = fma(rate, g, v)
        store_some(velocity, p, v, count)
        if final:
            store_some(w, p, fma(splat(rule.shrink), load_some(w, p, count), v), count)
        p += WIDTH
