"""The kernels of a step for a first layer on csr inputs, with the signature of those in
`operations`: void(record, tile, chunk).

The batch is sorted by feature once; its columns then make the steps that they missed; each piece
computes its samples' outputs from all columns; and after the backward pass of the other layers,
chunks of features compute the gradients of their columns and update these (`csr_input`). How far
each column is behind is kept where the layer keeps it, so that other code can bring it up to date.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import cfunc, njit

from sparsebench_plugins.backends.numba_csr.arguments import Layout
from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import (
    KERNEL,
    Dtype,
    numbers_at,
    rule_at,
    rule_of,
    step_of,
)
from sparsebench_plugins.backends.numba_csr.compiled_step.records import CSR_INPUT, LAYER
from sparsebench_plugins.backends.numba_csr.csr_input import (
    CHUNKS,
    activated_rows,
    clear_counts,
    count_values,
    gradient_chunk,
    list_features,
    place_of,
    present_chunk,
    product_rows,
    settle_columns,
    transposed_rows,
)


@lru_cache
def sort(bounds: Dtype, index: Dtype, kind: Dtype, scaled: Dtype | None) -> int:
    """The address of the kernel that gathers rows of a csr matrix, scales them, and sorts their
    values by feature.

    bounds, index, kind  types of indptr, indices and data
    scaled               type of the scale; None: the data are scaled already
    """
    has_scale, of_scale = scaled is not None, scaled or np.float32

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        step = step_of(C)
        indptr, indices = array_at(C.indptr, 1, bounds), array_at(C.indices, 1, index)
        data, scale = array_at(C.data, 1, kind), array_at(C.scale, 1, of_scale)
        rows = array_at(step.rows, step.N, np.int64)
        counts, touched = array_at(C.counts, C.D, np.int32), array_at(C.touched, C.groups, np.uint8)
        features, starts = array_at(C.features, 1, np.int32), array_at(C.starts, 1, np.int32)
        samples, values = array_at(C.samples, 1, np.int32), array_at(C.values, 1, np.float32)
        for row in rows:
            count_values(indices, np.int64(indptr[row]), np.int64(indptr[row + 1]), counts, touched)
        found = list_features(counts, touched, features, starts)
        for n in range(step.N):
            for e in range(np.int64(indptr[rows[n]]), np.int64(indptr[rows[n] + 1])):
                j = indices[e]
                q = place_of(counts, j)
                samples[q] = n
                values[q] = np.float32(of_scale(data[e]) * scale[j]) if has_scale else data[e]
        clear_counts(counts, features, found)
        array_at(C.found, 1, np.int64)[0] = found

    return int(kernel.address)


@njit(forceinline=True)
def sorted_batch(C):
    """features, starts, count, samples, values: the batch by feature."""
    count = array_at(C.found, 1, np.int64)[0]
    starts = array_at(C.starts, count + 1, np.int32)
    stored = np.int64(starts[count])
    return (
        array_at(C.features, count, np.int32), starts, count,
        array_at(C.samples, stored, np.int32), array_at(C.values, stored, np.float32),
    )  # fmt: skip


@njit(forceinline=True)
def slots_of(L, state):
    """The optimizer's two slots of the weights by column; empty if it has none."""
    return (
        array_at(L.first, L.nnz if L.first else 0, state),
        array_at(L.second, L.nnz if L.second else 0, state),
    )


@njit(forceinline=True)
def behind(C):
    """past, steps, since: the steps that columns may have missed (see `CsrPasses`)."""
    return (
        array_at(C.past, 3 * C.most, np.float32).reshape((C.most, 3)),
        array_at(C.steps, 1, np.int64)[0],
        array_at(C.since, C.D, np.int32),
    )


@lru_cache
def catch_up(index: Dtype, state: Dtype) -> int:
    """The address of the kernel that brings the columns of the batch's features in one chunk up to
    date."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        past, steps, since = behind(C)
        if steps == 0:
            return
        L = array_at(C.layer, 1, LAYER)[0]
        features, starts, count, _, _ = sorted_batch(C)
        first, second = slots_of(L, state)
        present_chunk(
            chunk, features, starts, count, array_at(L.t_indptr, L.D + 1, index),
            array_at(L.w, L.nnz, np.float32), first, second, rule_at(C.rule, 0),
            past, steps, since,
        )  # fmt: skip

    return int(kernel.address)


@njit(forceinline=True)
def samples_of(step, tile):
    """The number of the first sample of a tile, and how many samples it has."""
    n = tile * step.width
    return n, min(step.width, step.padded - n)


@lru_cache
def forward(index: Dtype, z: Dtype) -> int:
    """The address of the kernel for Z = unit(W X + b) of a tile. With the first tile of a piece it
    computes W X for the whole piece, so that a piece reads the connections once."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        L = array_at(C.layer, 1, LAYER)[0]
        step = step_of(C)
        n, count = samples_of(step, tile)
        S = array_at(C.S, step.padded * L.K, np.float32)
        if tile % step.per_piece == 0:
            features, starts, found, samples, values = sorted_batch(C)
            product_rows(
                n, min(n + step.per_piece * step.width, step.padded), features, starts, found,
                samples, values, array_at(L.t_indptr, L.D + 1, index),
                array_at(L.rows, L.nnz, index), array_at(L.w, L.nnz, np.float32), S, L.K,
            )  # fmt: skip
        unit = numbers_at(
            L.own_mode, L.own_above, L.own_below, L.own_key, L.own_threshold, L.own_bits_row, step.t
        )
        bits = array_at(L.own_bits + tile * L.own_bits_step - n // 8, 1, np.uint8)
        activated_rows(
            0, L.K, n, count, S, array_at(L.bias, L.K, np.float32), array_at(L.Z, 1, z),
            Layout(L.z_tile, L.z_stride, L.z_step), unit, bits,
        )  # fmt: skip

    return int(kernel.address)


@lru_cache
def transpose(z: Dtype) -> int:
    """The address of the kernel that writes DZ of a tile with a row per sample, for `gradient`."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        L = array_at(C.layer, 1, LAYER)[0]
        step = step_of(C)
        n, count = samples_of(step, tile)
        transposed_rows(
            0, L.K, n, count, array_at(L.Z, 1, z), Layout(L.z_tile, L.z_stride, L.z_step), L.K,
            array_at(C.S, step.padded * L.K, np.float32),
        )  # fmt: skip

    return int(kernel.address)


@lru_cache
def note() -> int:
    """The address of the kernel that notes this step's rule for the columns that will miss it."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        past, steps, _ = behind(C)
        rule = rule_of(step_of(C), 0)
        past[steps, 0] = rule.rate
        past[steps, 1] = rule.shrink
        past[steps, 2] = rule.unbias
        array_at(C.steps, 1, np.int64)[0] = steps + 1

    return int(kernel.address)


@lru_cache
def gradient(index: Dtype, state: Dtype) -> int:
    """The address of the kernel that computes the gradients of the columns of one chunk of the
    batch's features, and updates their weights."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        L = array_at(C.layer, 1, LAYER)[0]
        step = step_of(C)
        features, starts, count, samples, values = sorted_batch(C)
        first, second = slots_of(L, state)
        _, steps, since = behind(C)
        w = array_at(L.w, L.nnz, np.float32)
        gradient_chunk(
            chunk, features, starts, count, samples, values, array_at(L.t_indptr, L.D + 1, index),
            array_at(L.rows, L.nnz, index), w, first, second, L.widest,
            array_at(C.S, step.padded * L.K, np.float32), L.K, array_at(L.w, 0, np.float32),
            rule_of(step, 0), steps, since,
        )  # fmt: skip

    return int(kernel.address)


@njit(forceinline=True)
def due(C):
    """Whether all columns are to be brought up to date at the end of this step."""
    steps = array_at(C.steps, 1, np.int64)[0]
    return steps > 0 and (steps == C.most or C.at_once != 0)


@lru_cache
def settle(index: Dtype, state: Dtype) -> int:
    """The address of the kernel that brings one chunk of all columns up to date, when it is due."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        if not due(C):
            return
        L = array_at(C.layer, 1, LAYER)[0]
        first, second = slots_of(L, state)
        past, steps, since = behind(C)
        settle_columns(
            L.D * chunk // CHUNKS, L.D * (chunk + 1) // CHUNKS,
            array_at(L.t_indptr, L.D + 1, index), array_at(L.w, L.nnz, np.float32),
            first, second, rule_at(C.rule, 0), past, steps, since,
        )  # fmt: skip

    return int(kernel.address)


@lru_cache
def settled() -> int:
    """The address of the kernel that forgets the missed steps after `settle`."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        C = array_at(address, 1, CSR_INPUT)[0]
        if due(C):
            array_at(C.steps, 1, np.int64)[0] = 0

    return int(kernel.address)
