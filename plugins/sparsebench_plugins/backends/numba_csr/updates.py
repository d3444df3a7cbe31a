"""SGD's and Adam's update of a stretch of connections, WIDTH at a time.

The rules of `sparsebench_plugins.optimizers.rules`; arrays of state may hold bfloat16.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.simd import (
    WIDTH,
    add,
    divide,
    fma,
    load,
    load_some,
    multiply,
    root,
    splat,
    store,
    store_some,
)
from sparsebench_plugins.backends.numba_csr.update_rule import ADAM, SGD


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
def update_one(w, first, second, G, p, g, rule):
    """WIDTH connections from p on; their gradients from g on."""
    if rule.kind == SGD:
        v = load(first, p) if rule.momentum != 0 else splat(np.float32(0.0))
        new, v = sgd(load(w, p), v, load(G, g), rule)
        store(w, p, new)
        if rule.momentum != 0:
            store(first, p, v)
    elif rule.kind == ADAM:
        new, mean, square = adam(load(w, p), load(first, p), load(second, p), load(G, g), rule)
        store(w, p, new)
        store(first, p, mean)
        store(second, p, square)


@njit(forceinline=True, error_model="numpy")
def update_some(w, first, second, G, p, g, count, rule):
    """`update_one` for the first `count` connections."""
    d = load_some(G, g, count)
    if rule.kind == SGD:
        v = load_some(first, p, count) if rule.momentum != 0 else splat(np.float32(0.0))
        new, v = sgd(load_some(w, p, count), v, d, rule)
        store_some(w, p, new, count)
        if rule.momentum != 0:
            store_some(first, p, v, count)
    elif rule.kind == ADAM:
        mean, square = load_some(first, p, count), load_some(second, p, count)
        new, mean, square = adam(load_some(w, p, count), mean, square, d, rule)
        store_some(w, p, new, count)
        store_some(first, p, mean, count)
        store_some(second, p, square, count)


@njit(error_model="numpy")
def update(w, first, second, G, start, stop, g, rule):
    """Connections start..stop - 1, whose gradients lie from G[g] on."""
    p = start
    while p + WIDTH <= stop:
        update_one(w, first, second, G, p, g + p - start, rule)
        p += WIDTH
    if p < stop:
        update_some(w, first, second, G, p, g + p - start, stop - p, rule)


@njit(error_model="numpy")
def absorb(w, velocity, G, start, stop, first, final, rule):
    """SGD with momentum for a gradient that comes in parts: each goes into the velocity at
    once, the weights move with the last."""
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


@njit(forceinline=True, error_model="numpy")
def add_some(A, a, B, b, count):
    """A[a : a + count] += B[b : b + count], at most WIDTH of them."""
    store_some(A, a, add(load_some(A, a, count), load_some(B, b, count)), count)


@njit(forceinline=True, error_model="numpy")
def sum_blocks(parts, blocks, size, at, A, count):
    """A[at : at + count] = the sum over blocks of parts[block size + at ..], in their order."""
    v = load_some(parts, at, count)
    for c in range(1, blocks):
        v = add(v, load_some(parts, c * size + at, count))
    store_some(A, at, v, count)
