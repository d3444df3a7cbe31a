"""The losses of `sparsebench_plugins.losses` as kernels, which replace the outputs Z of a tile of
samples by their gradient DZ."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import cfunc, njit

from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import KERNEL, step_of, sum_of
from sparsebench_plugins.backends.numba_csr.compiled_step.records import TARGETS

CROSS_ENTROPY, SQUARED, LINEAR, BINARY = range(4)


@njit(forceinline=True, error_model="numpy")
def sigmoid(z):
    small = np.exp(-abs(z))
    return (np.float32(1.0) if z >= 0 else small) / (np.float32(1.0) + small)


@njit(error_model="numpy")
def cross_entropy(Z, at, stride, K, labels, row, n, scale):
    """The cross-entropy of one sample with the class labels[row]. Its K outputs are at
    Z[at + k stride]; replaces them by (softmax(z) - onehot) times scale."""
    largest = Z[at]
    for k in range(1, K):
        largest = max(largest, Z[at + k * stride])
    total = np.float32(0.0)
    label = at + labels[row] * stride
    of_label = Z[label] - largest
    for k in range(K):
        e = np.exp(Z[at + k * stride] - largest)
        Z[at + k * stride] = e
        total += e
    for k in range(K):
        Z[at + k * stride] = Z[at + k * stride] / total * scale
    Z[label] -= scale
    return math.log(total) - of_label


@lru_cache
def gradient(labels: bool) -> int:
    """The address of the kernel that computes the loss of a tile, summed over its samples, and the
    gradient of the batch's mean loss.

    labels  whether targets are classes; if not, they are numbers
    """
    of_targets = np.int64 if labels else np.float32

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        R = array_at(address, 1, TARGETS)[0]
        step = step_of(R)
        n = tile * step.width
        count = min(step.width, step.N - n)
        start = tile * R.z_step
        Z = array_at(R.Z, 1, np.float32)
        targets = array_at(R.targets, 1, of_targets)
        rows = array_at(step.target_rows, step.N, np.int64)
        scale = np.float32(1.0) / np.float32(step.N)
        loss = 0.0
        for i in range(count):
            row = i if R.own_rows == 1 else n + i if R.own_rows == 2 else rows[n + i]
            at = start + i
            if labels:
                if R.loss == CROSS_ENTROPY:
                    loss += cross_entropy(Z, at, R.z_stride, R.K, targets, row, n, scale)
                else:
                    for k in range(R.K):
                        y = sigmoid(Z[at + k * R.z_stride])
                        e = y - np.float32(1.0) if k == targets[row] else y
                        loss += np.float64(e * e) / 2
                        slope = y * (np.float32(1.0) - y)
                        Z[at + k * R.z_stride] = e * slope * scale
            else:
                for k in range(R.K):
                    z = Z[at + k * R.z_stride]
                    to = tile * R.tile_step + k * R.row_stride + row * R.sample_stride
                    t = targets[to]
                    if R.loss == LINEAR:
                        e = z - t
                        loss += np.float64(e * e) / 2
                    else:
                        e = sigmoid(z) - t
                        loss += max(z, np.float32(0.0)) - z * t + math.log1p(math.exp(-abs(z)))
                    Z[at + k * R.z_stride] = e * scale
        for i in range(count, min(step.width, step.padded - n)):
            for k in range(R.K):
                Z[start + k * R.z_stride + i] = np.float32(0.0)
        array_at(step.parts, step.tiles, np.float64)[tile] = loss
        if R.bias_partial:
            sum_bias(R, step, Z, start, tile, count)

    return int(kernel.address)


@njit(error_model="numpy")
def sum_bias(R, step, D, start, tile, count):
    """Sum each output's gradient over a tile, and add it to the sums of the tiles before it in the
    same piece."""
    more = tile % step.per_piece > 0
    sums = array_at(R.bias_partial + 4 * (tile // step.per_piece) * R.K, R.K, np.float32)
    for k in range(R.K):
        before = sums[k] if more else np.float32(0.0)
        sums[k] = sum_of(D, start + k * R.z_stride, count) + before
