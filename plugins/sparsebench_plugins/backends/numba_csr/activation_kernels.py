"""Kernels of activation and dropout over samples, with explicit vectors."""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.arguments import NONE, TRAIN
from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    below_zero,
    kept_bits,
    load,
    load_bits,
    load_few,
    scaled,
    store,
    store_bits,
    store_few,
)
from sparsebench_plugins.backends.numba_csr.threads import (
    in_parallel,
    restore_threads,
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
    """dropout(f(v)) of samples n..n + WIDTH - 1. In training it writes the bits that backward
    needs: from `byte` on, whether v is below 0; and half of the neuron's `row_bytes` further,
    whether dropout keeps the sample."""
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
    restore_threads(before)


@in_parallel
@njit(forceinline=True, error_model="numpy")
def deactivate_rows(k, D, N, unit, bits):
    deactivate_row(D, k * N, k, 0, N, unit, bits)


@njit(cache=True, error_model="numpy")
def deactivate(D, K, N, unit, bits):
    """DA (K, N) flat becomes DZ."""
    before = threads_for(K * N)
    deactivate_rows(K, (D, N, unit, bits))
    restore_threads(before)
