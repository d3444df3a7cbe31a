"""The kernels of `csr_input` as plain loops, which also run without a compiler.

Names, arguments and results are the same, except for the order of sums.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sparsebench_plugins.backends.numba_csr.arguments import KEEP, Rule
from sparsebench_plugins.backends.numba_csr.plain import activate_row, update


@njit(cache=True, error_model="numpy")
def by_feature(indptr, indices, data, counts, touched, features, starts, samples, values):
    """`csr_input.by_feature`; `touched` is not needed."""
    N = indptr.size - 1
    for e in range(indptr[N]):
        counts[indices[e]] += 1
    found, total = 0, 0
    for j in range(counts.size):
        if counts[j] > 0:
            features[found], starts[found] = j, total
            total += counts[j]
            counts[j] = starts[found]
            found += 1
    starts[found] = total
    for n in range(N):
        for e in range(indptr[n], indptr[n + 1]):
            q = counts[indices[e]]
            samples[q], values[q] = n, data[e]
            counts[indices[e]] = q + 1
    counts[:] = 0
    return found


@njit(error_model="numpy")
def catch_up(w, first, second, start, stop, rule, past, begin, end):
    """Make steps begin..end - 1 with gradient 0 for connections start..stop - 1."""
    for s in range(begin, end):
        then = Rule(
            rule.kind, past[s, 0], rule.coupled, past[s, 1], rule.momentum, rule.nesterov,
            rule.beta1, rule.rest1, rule.beta2, rule.rest2, past[s, 2], rule.tiny,
        )  # fmt: skip
        for p in range(start, stop):
            update(w, first, second, p, np.float32(0.0), then)


@njit(cache=True, parallel=True, error_model="numpy")
def catch_up_present(features, starts, count, t_indptr, w, first, second, rule, past, steps, since):
    """`csr_input.catch_up_present`."""
    for f in prange(count):
        j = features[f]
        catch_up(w, first, second, t_indptr[j], t_indptr[j + 1], rule, past, since[j], steps)
        since[j] = steps


@njit(cache=True, parallel=True, error_model="numpy")
def catch_up_all(chunks, t_indptr, w, first, second, rule, past, steps, since):
    """`csr_input.catch_up_all`."""
    for j in prange(since.size):
        catch_up(w, first, second, t_indptr[j], t_indptr[j + 1], rule, past, since[j], steps)
        since[j] = 0


@njit(cache=True, parallel=True, error_model="numpy")
def csr_forward(
    features, starts, count, samples, values, t_indptr, t_rows, w, bias, S, Z, z, N,
    unit, bits,
):  # fmt: skip
    """`csr_input.csr_forward`, neuron by neuron; S is not needed."""
    for k in range(bias.size):
        for n in range(N):
            Z[n // z.tile * z.step + k * z.stride + n % z.tile] = bias[k]
    for f in range(count):
        j = features[f]
        for p in range(t_indptr[j], t_indptr[j + 1]):
            for e in range(starts[f], starts[f + 1]):
                n = samples[e]
                Z[n // z.tile * z.step + t_rows[p] * z.stride + n % z.tile] += w[p] * values[e]
    for k in prange(bias.size):
        for n in range(0, N, z.tile):
            row = n // z.tile * z.step + k * z.stride
            activate_row(Z, row, k, n, min(z.tile, N - n), unit, bits)


@njit(cache=True, parallel=True, error_model="numpy")
def csr_backward(
    features, starts, count, samples, values, t_indptr, t_rows, w, first, second, widest,
    DZ, z, N, K, S, G, rule, steps, since,
):  # fmt: skip
    """`csr_input.csr_backward`."""
    for f in prange(count):
        j = features[f]
        for p in range(t_indptr[j], t_indptr[j + 1]):
            g = np.float32(0.0)
            for e in range(starts[f], starts[f + 1]):
                n = samples[e]
                g += values[e] * DZ[n // z.tile * z.step + t_rows[p] * z.stride + n % z.tile]
            if rule.kind == KEEP:
                G[p] = g
            else:
                update(w, first, second, p, g, rule)
        if rule.kind != KEEP:
            since[j] = steps
