"""Kernels of the optimizers' updates (SGD, momentum, Adam) over connections, with explicit vectors.

They follow the rules of `sparsebench_plugins.optimizers`. State arrays may hold bfloat16.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsebench_plugins.backends.numba_csr.arguments import ADAM, SGD
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
    once, and the weights are updated with the last part.

    G             the part of the gradient of connections start..stop - 1, from index 0 on
    first, final  whether this is the first, and the last part
    """
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
