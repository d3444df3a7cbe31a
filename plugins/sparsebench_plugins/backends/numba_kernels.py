"""The numba backend's kernels. Twins to be read are in `sparsebench.sparse.reference`.

Threads share no output: each owns rows of what it writes, and sums in index order, so the
result is the same bit for bit for any number of threads. Only `reassoc` and `contract` are
allowed where a sum over the batch must vectorise; NaN stays NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SUMS = {"reassoc", "contract"}
GOLDEN = np.uint32(0x9E3779B9)


@njit(cache=True, parallel=True, fastmath=SUMS, error_model="numpy")
def forward(indptr, indices, data, bias, X, Z):
    """Z = W X + b.

    W  (K, D)  csr: indptr (K + 1,), indices (nnz,), data (nnz,)
    X  (D, N)    Z  (K, N) overwritten    bias (K,)
    Each thread owns rows of Z; four connections at a time, so that a row of Z is read and
    written once for four rows of X.
    """
    K = indptr.size - 1
    N = X.shape[1]
    for k in prange(K):
        z = Z[k]
        b = bias[k]
        for n in range(N):
            z[n] = b
        p = indptr[k]
        stop = indptr[k + 1]
        while p + 4 <= stop:
            x0 = X[indices[p]]
            x1 = X[indices[p + 1]]
            x2 = X[indices[p + 2]]
            x3 = X[indices[p + 3]]
            w0 = data[p]
            w1 = data[p + 1]
            w2 = data[p + 2]
            w3 = data[p + 3]
            for n in range(N):
                z[n] += (w0 * x0[n] + w1 * x1[n]) + (w2 * x2[n] + w3 * x3[n])
            p += 4
        while p < stop:
            x0 = X[indices[p]]
            w0 = data[p]
            for n in range(N):
                z[n] += w0 * x0[n]
            p += 1


@njit(cache=True, parallel=True, fastmath=SUMS, error_model="numpy")
def backward(t_indptr, t_rows, t_place, data, X, DZ, DX, DW):
    """DW = DZ X^T on the pattern and DX = W^T DZ, in one pass over the columns of W.

    t_indptr (D + 1,), t_rows (nnz,), t_place (nnz,): the connections by column
    X (D, N)   DZ (K, N)   DX (D, N) overwritten, or (0, 0): not wanted   DW (nnz,) csr order
    Each thread owns columns of W, that is rows of DX, and the entries of DW in them.
    """
    D = t_indptr.size - 1
    N = X.shape[1]
    wanted = DX.shape[0] > 0
    for j in prange(D):
        x = X[j]
        if wanted:
            dx = DX[j]
            for n in range(N):
                dx[n] = 0.0
        p = t_indptr[j]
        stop = t_indptr[j + 1]
        while p + 2 <= stop:
            z0 = DZ[t_rows[p]]
            z1 = DZ[t_rows[p + 1]]
            q0 = t_place[p]
            q1 = t_place[p + 1]
            g0 = np.float32(0.0)
            g1 = np.float32(0.0)
            if wanted:
                w0 = data[q0]
                w1 = data[q1]
                for n in range(N):
                    g0 += z0[n] * x[n]
                    g1 += z1[n] * x[n]
                    dx[n] += w0 * z0[n] + w1 * z1[n]
            else:
                for n in range(N):
                    g0 += z0[n] * x[n]
                    g1 += z1[n] * x[n]
            DW[q0] = g0
            DW[q1] = g1
            p += 2
        if p < stop:
            z0 = DZ[t_rows[p]]
            q0 = t_place[p]
            g0 = np.float32(0.0)
            if wanted:
                w0 = data[q0]
                for n in range(N):
                    g0 += z0[n] * x[n]
                    dx[n] += w0 * z0[n]
            else:
                for n in range(N):
                    g0 += z0[n] * x[n]
            DW[q0] = g0


@njit(cache=True, inline="always", error_model="numpy")
def sgd(w, v, g, rate, momentum, nesterov, coupled, shrink):
    """One connection's new weight and velocity; `shrink` is 1 - decoupled decay."""
    step = -rate * (g + coupled * w)
    w *= shrink
    v = momentum * v + step
    if nesterov:
        return w + (momentum * v + step), v
    return w + v, v


@njit(cache=True, parallel=True, fastmath=SUMS, error_model="numpy")
def backward_and_sgd(
    t_indptr, t_rows, t_place, data, velocity, X, DZ, DX, rate, momentum, nesterov, coupled, shrink
):
    """`backward` with the update of SGD while the gradient is in a register.

    velocity (nnz,) csr order, or empty: no momentum. DX uses the weights before the update.
    The gradient is never stored.
    """
    D = t_indptr.size - 1
    N = X.shape[1]
    wanted = DX.shape[0] > 0
    moving = velocity.size > 0
    for j in prange(D):
        x = X[j]
        if wanted:
            dx = DX[j]
            for n in range(N):
                dx[n] = 0.0
        p = t_indptr[j]
        stop = t_indptr[j + 1]
        while p < stop:
            pair = p + 1 < stop
            z0 = DZ[t_rows[p]]
            q0 = t_place[p]
            w0 = data[q0]
            g0 = np.float32(0.0)
            if pair:
                z1 = DZ[t_rows[p + 1]]
                q1 = t_place[p + 1]
                w1 = data[q1]
                g1 = np.float32(0.0)
                if wanted:
                    for n in range(N):
                        g0 += z0[n] * x[n]
                        g1 += z1[n] * x[n]
                        dx[n] += w0 * z0[n] + w1 * z1[n]
                else:
                    for n in range(N):
                        g0 += z0[n] * x[n]
                        g1 += z1[n] * x[n]
                v1 = velocity[q1] if moving else np.float32(0.0)
                w1, v1 = sgd(w1, v1, g1, rate, momentum, nesterov, coupled, shrink)
                data[q1] = w1
                if moving:
                    velocity[q1] = v1
            elif wanted:
                for n in range(N):
                    g0 += z0[n] * x[n]
                    dx[n] += w0 * z0[n]
            else:
                for n in range(N):
                    g0 += z0[n] * x[n]
            v0 = velocity[q0] if moving else np.float32(0.0)
            w0, v0 = sgd(w0, v0, g0, rate, momentum, nesterov, coupled, shrink)
            data[q0] = w0
            if moving:
                velocity[q0] = v0
            p += 2


@njit(cache=True, error_model="numpy")
def transpose_index(indptr, indices, t_indptr, t_rows, t_place):
    """Fill the connections by column; rows rise within a column. t_indptr (D + 1,) is zeros."""
    for p in range(indices.size):
        t_indptr[indices[p] + 1] += 1
    for j in range(t_indptr.size - 1):
        t_indptr[j + 1] += t_indptr[j]
    for k in range(indptr.size - 1):
        for p in range(indptr[k], indptr[k + 1]):
            j = indices[p]
            q = t_indptr[j]
            t_rows[q] = k
            t_place[q] = p
            t_indptr[j] = q + 1
    for j in range(t_indptr.size - 1, 0, -1):
        t_indptr[j] = t_indptr[j - 1]
    t_indptr[0] = 0


@njit(cache=True, inline="always", error_model="numpy")
def mix(x):
    """`sparsebench.training.dropout.mix`, one number. numba widens uint32 products: cut back."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, parallel=True, error_model="numpy")
def activate(Z, slope, state, key, threshold, scale):
    """Z becomes dropout(f(Z)); state (K, N) uint8 keeps 0 dropped, 1 above zero, 2 below.

    threshold 0: no dropout.
    """
    K, N = Z.shape
    for k in prange(K):
        z = Z[k]
        s = state[k]
        row = mix(np.uint32(np.uint32(k) * GOLDEN + key))
        below = slope * scale
        if threshold > 0:
            for n in range(N):
                kept = mix(np.uint32(row + np.uint32(n) * GOLDEN)) >= threshold
                negative = z[n] < 0.0
                s[n] = np.uint8(kept) * (np.uint8(1) + np.uint8(negative))
                z[n] = z[n] * (below if negative else scale) * np.float32(kept)
        else:
            for n in range(N):
                negative = z[n] < 0.0
                s[n] = np.uint8(1) + np.uint8(negative)
                z[n] = z[n] * (below if negative else scale)


@njit(cache=True, parallel=True, error_model="numpy")
def deactivate(DA, slope, state, scale):
    """DA becomes DZ, from the state that `activate` kept."""
    K, N = DA.shape
    for k in prange(K):
        d = DA[k]
        s = state[k]
        below = slope * scale
        for n in range(N):
            factor = scale if s[n] == 1 else (below if s[n] == 2 else np.float32(0.0))
            d[n] *= factor


@njit(cache=True, parallel=True, error_model="numpy")
def activate_only(Z, slope):
    """Z becomes f(Z), in evaluation."""
    K, N = Z.shape
    for k in prange(K):
        z = Z[k]
        for n in range(N):
            if z[n] < 0.0:
                z[n] *= slope


@njit(cache=True, parallel=True, fastmath=SUMS, error_model="numpy")
def sum_rows(DZ, sums):
    """sums[k] = sum over the batch."""
    K, N = DZ.shape
    for k in prange(K):
        total = np.float32(0.0)
        for n in range(N):
            total += DZ[k, n]
        sums[k] = total
