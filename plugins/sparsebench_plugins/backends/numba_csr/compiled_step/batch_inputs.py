"""Kernels that copy the inputs of a batch into tiles of (features, samples), and scale the rows of
a data set."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import cfunc, types
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.compiled_step.atomics import array_at
from sparsebench_plugins.backends.numba_csr.compiled_step.operations import KERNEL, Dtype, step_of
from sparsebench_plugins.backends.numba_csr.compiled_step.records import BATCH
from sparsebench_plugins.backends.numba_csr.simd import (
    FLOAT,
    I32,
    I64,
    WIDTH,
    Emit,
    load,
    store,
    vector,
)

BLOCK = 64
"""The number of features that are written for all samples of a tile before the next ones, so that
they stay in the L1 cache."""


@intrinsic
def gather_samples(typing, data, starts, first, j, mean, scale, X, x):
    """X[x + i] = (data[starts[first + i] + j] - mean) scale for i = 0..WIDTH - 1, in float32.

    data    flat, of a type whose numbers float32 can represent
    starts  int64
    """

    def code(context, builder, signature, args):
        data_, starts_, first, j, mean, scale, X_, x = args
        emit = Emit(context, builder, WIDTH)
        element = context.get_data_type(data.dtype)
        values = vector(element, WIDTH)(None)
        for i in range(WIDTH):
            start = emit.scalar(starts, starts_, builder.add(first, I64(i)))
            value = emit.scalar(data, data_, builder.add(start, j))
            values = builder.insert_element(values, value, I32(i))
        if data.dtype != types.float32:
            convert = builder.sitofp if data.dtype.signed else builder.uitofp
            values = convert(values, vector(FLOAT, WIDTH))
        centred = builder.fsub(values, emit.splat(mean))
        emit.store(X, X_, x, builder.fmul(centred, emit.splat(scale)))
        return context.get_dummy_value()

    f, i = types.float32, types.int64
    return types.void(data, starts, i, i, f, f, X, i), code


NARROW = (np.float32, np.uint8, np.int8, np.uint16, np.int16)
"""Types of data that are scaled as vectors of float32; others are scaled one by one in float64."""


@lru_cache
def assemble(kind: Dtype, scaled: Dtype) -> int:
    """The address of the kernel that gathers and scales rows of a data set into tiles.

    kind    type of the data
    scaled  type of mean and scale, float32 or float64
    """
    vectors = kind in NARROW and scaled == np.float32

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        B = array_at(address, 1, BATCH)[0]
        step = step_of(B)
        n = tile * step.width
        count = min(step.width, step.padded - n)
        data, X = array_at(B.data, 1, kind), array_at(B.X, 1, np.float32)
        mean, scale = array_at(B.mean, B.features, scaled), array_at(B.scale, B.features, scaled)
        rows = array_at(step.rows, step.N, np.int64)
        x = tile * B.x_step
        starts = np.empty(count, dtype=np.int64)
        for i in range(count):
            starts[i] = rows[min(n + i, step.N - 1)] * B.row_stride
        for first in range(0, B.features, BLOCK):
            stop = min(first + BLOCK, B.features)
            whole = 0
            if vectors:
                while whole + WIDTH <= count:
                    for j in range(first, stop):
                        to = x + j * step.width + whole
                        gather_samples(data, starts, whole, j, mean[j], scale[j], X, to)
                    whole += WIDTH
            for i in range(whole, count):
                for j in range(first, stop):
                    value = (data[starts[i] + j] - mean[j]) * scale[j]
                    X[x + j * step.width + i] = np.float32(value)

    return int(kernel.address)


@lru_cache
def copy() -> int:
    """The address of the kernel that copies a plain (features, N) batch into tiles."""

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        B = array_at(address, 1, BATCH)[0]
        step = step_of(B)
        n = tile * step.width
        count, there = min(step.width, step.padded - n), min(step.width, step.N - n)
        data, X = array_at(B.data, 1, np.float32), array_at(B.X, 1, np.float32)
        for j in range(B.features):
            to, at = tile * B.x_step + j * step.width, j * B.row_stride + n
            whole = 0
            while whole + WIDTH <= there:
                store(X, to + whole, load(data, at + whole))
                whole += WIDTH
            for i in range(whole, there):
                X[to + i] = data[at + i]
            for i in range(there, count):
                X[to + i] = data[at + there - 1]

    return int(kernel.address)
