"""The inputs of a batch: rows of the data set become tiles of (features, samples), scaled."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import cfunc, njit, types
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.simd import FLOAT, I32, I64, WIDTH, Emit, vector
from sparsebench_plugins.backends.numba_csr.step.memory import array_at
from sparsebench_plugins.backends.numba_csr.step.operations import KERNEL, Dtype, step_of
from sparsebench_plugins.backends.numba_csr.step.records import BATCH

BLOCK = 64
"""Features that are written for all samples of a tile before the next: they stay in the first
cache."""


@intrinsic
def gather_samples(typing, data, starts, j, mean, scale, X, x):
    """X[x : x + WIDTH] = (data[starts[i] + j] - mean) scale for i = 0..WIDTH - 1, in float32.

    data    flat, of any number type that float32 holds     starts (WIDTH,) int64
    """

    def code(context, builder, signature, args):
        data_, starts_, j, mean, scale, X_, x = args
        emit = Emit(context, builder, WIDTH)
        element = context.get_data_type(data.dtype)
        values = vector(element, WIDTH)(None)
        for i in range(WIDTH):
            start = emit.scalar(starts, starts_, I64(i))
            value = emit.scalar(data, data_, builder.add(start, j))
            values = builder.insert_element(values, value, I32(i))
        if data.dtype != types.float32:
            convert = builder.sitofp if data.dtype.signed else builder.uitofp
            values = convert(values, vector(FLOAT, WIDTH))
        centred = builder.fsub(values, emit.splat(mean))
        emit.store(X, X_, x, builder.fmul(centred, emit.splat(scale)))
        return context.get_dummy_value()

    f, i = types.float32, types.int64
    return types.void(data, starts, i, f, f, X, i), code


NARROW = (np.float32, np.uint8, np.int8, np.uint16, np.int16)
"""Types of data that are scaled in float32, in vectors; others one by one in float64."""


@njit(forceinline=True, error_model="numpy")
def assemble_some(data, rows, n, first, count, stride, start, stop, mean, scale, X, x, width):
    for i in range(first, count):
        base = rows[n + i] * stride
        for j in range(start, stop):
            X[x + j * width + i] = np.float32((data[base + j] - mean[j]) * scale[j])


@lru_cache
def assemble(kind: Dtype, scaled: Dtype) -> int:
    """kind: of the data; scaled: of mean and scale, float32 or float64."""
    vectors = kind in NARROW and scaled == np.float32

    @cfunc(KERNEL, cache=True, error_model="numpy")
    def kernel(address, tile, chunk):
        B = array_at(address, 1, BATCH)[0]
        step = step_of(B)
        n = tile * step.width
        count = min(step.width, step.N - n)
        data, X = array_at(B.data, 1, kind), array_at(B.X, 1, np.float32)
        mean, scale = array_at(B.mean, B.features, scaled), array_at(B.scale, B.features, scaled)
        rows = array_at(step.rows, step.N, np.int64)
        x = tile * B.x_step
        if vectors:
            starts = np.empty(WIDTH, dtype=np.int64)
        for start in range(0, B.features, BLOCK):
            stop = min(start + BLOCK, B.features)
            whole = 0
            if vectors:
                while whole + WIDTH <= count:
                    for i in range(WIDTH):
                        starts[i] = rows[n + whole + i] * B.row_stride
                    for j in range(start, stop):
                        to = x + j * step.width + whole
                        gather_samples(data, starts, j, mean[j], scale[j], X, to)
                    whole += WIDTH
            assemble_some(
                data, rows, n, whole, count, B.row_stride, start, stop, mean, scale, X, x,
                step.width,
            )  # fmt: skip

    return int(kernel.address)
