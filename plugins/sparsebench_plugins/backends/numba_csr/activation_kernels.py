"""Activation and dropout of one neuron's samples, while they are in the nearest cache."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.layout import NONE, TRAIN
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    below_zero,
    kept_bits,
    load,
    load_bits,
    load_some,
    scaled,
    store,
    store_bits,
    store_some,
)
from sparsebench_plugins.backends.numba_csr.threads import threads_again, threads_for

GOLDEN = np.uint32(0x9E3779B9)
ALL = np.uint32(0xFFFFFFFF)


@njit(forceinline=True, error_model="numpy")
def mix(x):
    """`sparsebench.core.nn.dropout.mix`, one number. numba widens uint32 products: cut back."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(forceinline=True, error_model="numpy")
def kept(unit, row, n):
    return kept_bits(row, n, unit.threshold) if unit.threshold > 0 else ALL


@njit(error_model="numpy")
def activate_row(Z, z, k, n, N, unit, bits):
    """Samples n..n + N - 1 of neuron k, at Z[z]: dropout(f(z)), and the signs into bits."""
    if unit.mode == NONE:
        return
    row = mix(np.uint32(np.uint32(k) * GOLDEN + unit.key))
    byte = k * unit.row_bytes + n // 8
    for i in range(0, N - WIDTH + 1, WIDTH):
        v = load(Z, z + i)
        sign = below_zero(v)
        stays = ALL
        if unit.mode == TRAIN:
            store_bits(bits, byte + i // 8, sign)
            stays = kept(unit, row, n + i)
        store(Z, z + i, scaled(v, sign, stays, unit.above, unit.below))
    i = N - N % WIDTH
    if i < N:
        v = load_some(Z, z + i, N - i)
        sign = below_zero(v)
        stays = ALL
        if unit.mode == TRAIN:
            store_bits(bits, byte + i // 8, sign)
            stays = kept(unit, row, n + i)
        store_some(Z, z + i, scaled(v, sign, stays, unit.above, unit.below), N - i)


@njit(error_model="numpy")
def deactivate_row(D, d, k, n, N, unit, bits):
    """Samples n..n + N - 1 of neuron k, at D[d]: DA becomes DZ."""
    if unit.mode == NONE:
        return
    row = mix(np.uint32(np.uint32(k) * GOLDEN + unit.key))
    byte = k * unit.row_bytes + n // 8
    for i in range(0, N - WIDTH + 1, WIDTH):
        sign = load_bits(bits, byte + i // 8)
        stays = kept(unit, row, n + i)
        store(D, d + i, scaled(load(D, d + i), sign, stays, unit.above, unit.below))
    i = N - N % WIDTH
    if i < N:
        sign = load_bits(bits, byte + i // 8)
        stays = kept(unit, row, n + i)
        v = scaled(load_some(D, d + i, N - i), sign, stays, unit.above, unit.below)
        store_some(D, d + i, v, N - i)


@njit(cache=True, parallel=True, error_model="numpy")
def activate(Z, K, N, unit, bits):
    """Z (K, N) flat becomes dropout(f(Z))."""
    before = threads_for(K * N)
    for k in prange(K):
        activate_row(Z, k * N, k, 0, N, unit, bits)
    threads_again(before)


@njit(cache=True, parallel=True, error_model="numpy")
def deactivate(D, K, N, unit, bits):
    """DA (K, N) flat becomes DZ."""
    before = threads_for(K * N)
    for k in prange(K):
        deactivate_row(D, k * N, k, 0, N, unit, bits)
    threads_again(before)
