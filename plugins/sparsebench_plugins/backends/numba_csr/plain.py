"""The kernels as plain loops: readable twins of those with explicit vectors, which also run without
a compiler.

Names, arguments and results are the same, except for the order of sums. Arrays of uint16 hold
bfloat16.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.arguments import ADAM, KEEP, NONE, SGD, TRAIN
from sparsebench_plugins.backends.numba_csr.threads import restore_threads, threads_for

GOLDEN = np.uint32(0x9E3779B9)
SUMS = {"reassoc", "contract"}


@njit(inline="always", error_model="numpy")
def mix(x):
    """`sparsebench.core.nn.dropout.mix` for one number. numba widens products of uint32, so they
    are reduced to 32 bits again."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(error_model="numpy")
def put_bit(bits, byte, n, value):
    """Write `value` to bit n of the bits that begin at a byte."""
    bit = np.uint8(1 << (n % 8))
    others = bits[byte + n // 8] & np.uint8(255 - bit)
    bits[byte + n // 8] = np.uint8(others | (bit if value else np.uint8(0)))


@njit(error_model="numpy")
def bit_of(bits, byte, n):
    return (bits[byte + n // 8] >> np.uint8(n % 8)) & 1 == 1


@njit(error_model="numpy")
def activate_row(Z, z, k, n, N, unit, bits):
    """Replace samples n..n + N - 1 of neuron k, which begin at Z[z], by dropout(f(z)). In training
    it writes the bits that backward needs: first one per sample for whether z is below 0, and after
    half of the neuron's `row_bytes` one for whether dropout keeps the sample."""
    if unit.mode == NONE:
        return
    row = mix(np.uint32(np.uint32(k) * GOLDEN + unit.key))
    byte = k * unit.row_bytes
    for i in range(N):
        negative = Z[z + i] < 0.0
        factor = unit.below if negative else unit.above
        if unit.mode == TRAIN:
            put_bit(bits, byte, n + i, negative)
            if unit.threshold > 0:
                stays = mix(np.uint32(row + np.uint32(n + i) * GOLDEN)) >= unit.threshold
                put_bit(bits, byte + unit.row_bytes // 2, n + i, stays)
                factor = factor if stays else np.float32(0.0)
        Z[z + i] *= factor


@njit(error_model="numpy")
def deactivate_row(D, d, k, n, N, unit, bits):
    """Turn DA into DZ in place, for samples n to n + N - 1 of neuron k, which begin at D[d]."""
    if unit.mode == NONE:
        return
    byte = k * unit.row_bytes
    for i in range(N):
        factor = unit.below if bit_of(bits, byte, n + i) else unit.above
        if unit.threshold > 0 and not bit_of(bits, byte + unit.row_bytes // 2, n + i):
            factor = np.float32(0.0)
        D[d + i] *= factor


@njit(cache=True, parallel=True, error_model="numpy")
def activate(Z, K, N, unit, bits):
    """Z (K, N) flat becomes dropout(f(Z))."""
    before = threads_for(K * N)
    for k in prange(K):
        activate_row(Z, k * N, k, 0, N, unit, bits)
    restore_threads(before)


@njit(cache=True, parallel=True, error_model="numpy")
def deactivate(D, K, N, unit, bits):
    """DA (K, N) flat becomes DZ."""
    before = threads_for(K * N)
    for k in prange(K):
        deactivate_row(D, k * N, k, 0, N, unit, bits)
    restore_threads(before)


@njit(error_model="numpy", fastmath=SUMS)
def gathered(data, indices, start, stop, X, stride, at, b, Z, z, N):
    """Z[z : z + N] = b + the sum of the products of connections start..stop - 1, four at a time."""
    for n in range(N):
        Z[z + n] = b
    p = start
    while p + 4 <= stop:
        x0, x1 = indices[p] * stride + at, indices[p + 1] * stride + at
        x2, x3 = indices[p + 2] * stride + at, indices[p + 3] * stride + at
        w0, w1, w2, w3 = data[p], data[p + 1], data[p + 2], data[p + 3]
        for n in range(N):
            Z[z + n] += (w0 * X[x0 + n] + w1 * X[x1 + n]) + (w2 * X[x2 + n] + w3 * X[x3 + n])
        p += 4
    while p < stop:
        x, w = indices[p] * stride + at, data[p]
        for n in range(N):
            Z[z + n] += w * X[x + n]
        p += 1


@njit(cache=True, parallel=True, error_model="numpy")
def forward(chunks, indptr, indices, data, bias, X, x, Z, z, N, unit, bits, ahead):
    """`large_batch.forward`."""
    tile = min(x.tile, z.tile)
    before = threads_for(indices.size * tile)
    for n in range(0, N, tile):
        count = min(tile, N - n)
        at = n // x.tile * x.step + n % x.tile
        to = n // z.tile * z.step + n % z.tile
        for c in prange(chunks.size - 1):
            for k in range(chunks[c], chunks[c + 1]):
                start, stop = np.int64(indptr[k]), np.int64(indptr[k + 1])
                row = to + k * z.stride
                gathered(data, indices, start, stop, X, x.stride, at, bias[k], Z, row, count)
                activate_row(Z, row, k, n, count, unit, bits)
    restore_threads(before)


@njit(error_model="numpy")
def sgd(w, v, g, rule):
    """The new weight and velocity of one connection."""
    step = -rule.rate * (g + rule.coupled * w)
    v = rule.momentum * v + step
    return w * rule.shrink + (rule.momentum * v + step if rule.nesterov else v), v


@njit(error_model="numpy")
def update(w, first, second, p, g, rule):
    """Update connection p by a rule of `sparsebench_plugins.optimizers`."""
    if rule.kind == SGD:
        v = first[p] if rule.momentum != 0 else np.float32(0.0)
        w[p], v = sgd(w[p], v, g, rule)
        if rule.momentum != 0:
            first[p] = v
    elif rule.kind == ADAM:
        g = g + rule.coupled * w[p]
        first[p] = rule.beta1 * first[p] + rule.rest1 * g
        second[p] = rule.beta2 * second[p] + rule.rest2 * g * g
        size = np.sqrt(second[p] * rule.unbias) + rule.tiny
        w[p] = w[p] * rule.shrink - rule.rate * first[p] / size


@njit(error_model="numpy")
def absorb(w, velocity, p, g, first, final, rule):
    """Update connection p by SGD with momentum, for a gradient that comes in parts: each part is
    added to the velocity, and the weight is updated with the last part.

    first, final  whether this is the first, and the last part
    """
    v = velocity[p]
    if first:
        v = rule.momentum * v - rule.rate * rule.coupled * w[p]
    v -= rule.rate * g
    velocity[p] = v
    if final:
        w[p] = rule.shrink * w[p] + v


@njit(error_model="numpy", fastmath=SUMS)
def dot(A, a, B, b, N):
    total = np.float32(0.0)
    for n in range(N):
        total += A[a + n] * B[b + n]
    return total


@njit(error_model="numpy", fastmath=SUMS)
def dot_and_add(A, a, B, b, w, C, c, N):
    """Returns A . B over N samples, and adds w A to C."""
    total = np.float32(0.0)
    for n in range(N):
        total += A[a + n] * B[b + n]
        C[c + n] += w * A[a + n]
    return total


@njit(cache=True, parallel=True, error_model="numpy")
def backward(
    chunks, t_indptr, t_rows, w, first, second, X, x, DZ, z, DX, d,
    N, G, widest, rule, unit, bits, ahead,
):  # fmt: skip
    """`large_batch.backward`."""
    tile = min(x.tile, min(z.tile, d.tile))
    wanted, stored = DX.size > 0, G.size > 0
    before = threads_for(2 * t_rows.size * tile)
    for n in range(0, N, tile):
        count = min(tile, N - n)
        at = n // z.tile * z.step + n % z.tile
        source = n // x.tile * x.step + n % x.tile
        to = n // d.tile * d.step + n % d.tile
        final = n + tile >= N
        for c in prange(chunks.size - 1):
            for j in range(chunks[c], chunks[c + 1]):
                xj, dj = source + j * x.stride, to + j * d.stride
                if wanted:
                    for i in range(count):
                        DX[dj + i] = 0.0
                for p in range(t_indptr[j], t_indptr[j + 1]):
                    zk = at + t_rows[p] * z.stride
                    if wanted:
                        g = dot_and_add(DZ, zk, X, xj, w[p], DX, dj, count)
                    else:
                        g = dot(DZ, zk, X, xj, count)
                    if stored:
                        g = g + (G[p] if n > 0 else np.float32(0.0))
                        G[p] = g
                    if rule.kind != KEEP:
                        if stored or tile >= N:
                            if final:
                                update(w, first, second, p, g, rule)
                        else:
                            absorb(w, first, p, g, n == 0, final, rule)
                if wanted:
                    deactivate_row(DX, dj, j, n, count, unit, bits)
    restore_threads(before)


@njit(cache=True, parallel=True, error_model="numpy")
def small_batch_forward(
    row_cuts, column_cuts, starts, rows, columns, w, bias, X, x, Z, z, N, unit, bits
):  # fmt: skip
    """`small_batch.forward`."""
    C = column_cuts.size - 1
    before = threads_for(rows.size * N)
    for r in prange(row_cuts.size - 1):
        for k in range(row_cuts[r], row_cuts[r + 1]):
            for n in range(N):
                Z[n // z.tile * z.step + k * z.stride + n % z.tile] = bias[k]
        for c in range(C):
            for p in range(starts[r * C + c], starts[r * C + c + 1]):
                k, j = row_cuts[r] + rows[p], column_cuts[c] + columns[p]
                for n in range(N):
                    to = n // z.tile * z.step + k * z.stride + n % z.tile
                    Z[to] += w[p] * X[n // x.tile * x.step + j * x.stride + n % x.tile]
        for k in range(row_cuts[r], row_cuts[r + 1]):
            for n in range(0, N, z.tile):
                at = n // z.tile * z.step + k * z.stride
                activate_row(Z, at, k, n, min(z.tile, N - n), unit, bits)
    restore_threads(before)


@njit(error_model="numpy")
def backward_connection(p, k, j, w, first, second, X, DZ, DX, N, G, rule):
    """The backward pass of connection p from neuron j to neuron k: add to DX if it is not empty,
    and store the gradient or update the weight."""
    if DX.size > 0:
        g = dot_and_add(DZ, k * N, X, j * N, w[p], DX, j * N, N)
    else:
        g = dot(DZ, k * N, X, j * N, N)
    if rule.kind == KEEP:
        G[p] = g
    else:
        update(w, first, second, p, g, rule)


@njit(cache=True, parallel=True, error_model="numpy")
def small_batch_backward(
    row_cuts, column_cuts, starts, rows, columns, w, first, second,
    X, DZ, DX, N, G, rule, unit, bits,
):  # fmt: skip
    """`small_batch.backward`."""
    R, C = row_cuts.size - 1, column_cuts.size - 1
    before = threads_for(2 * rows.size * N)
    for c in prange(C):
        for i in range(min(DX.size, column_cuts[c] * N), min(DX.size, column_cuts[c + 1] * N)):
            DX[i] = 0.0
        for r in range(R):
            for p in range(starts[r * C + c], starts[r * C + c + 1]):
                k, j = row_cuts[r] + rows[p], column_cuts[c] + columns[p]
                backward_connection(p, k, j, w, first, second, X, DZ, DX, N, G, rule)
        if DX.size > 0:
            for j in range(column_cuts[c], column_cuts[c + 1]):
                deactivate_row(DX, j * N, j, 0, N, unit, bits)
    restore_threads(before)


@njit(cache=True, parallel=True, error_model="numpy", fastmath=SUMS)
def sum_rows(DZ, z, N, sums):
    """sums[k] = the sum of DZ's row k over the batch.  DZ (K, N) flat in the layout z."""
    before = threads_for(sums.size * N)
    for k in prange(sums.size):
        total = np.float32(0.0)
        for n in range(N):
            total += DZ[n // z.tile * z.step + k * z.stride + n % z.tile]
        sums[k] = total
    restore_threads(before)
