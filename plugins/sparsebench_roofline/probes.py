"""Probes: loops that do only one of the things that a kernel does, as fast as the machine can.

Each makes `passes` passes inside one parallel region, with a part per thread, so that the start of
threads does not count. The results are not used, but returned so that the compiler removes nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from sparsebench_plugins.backends.numba_csr.connection_kernels import for_batch
from sparsebench_plugins.backends.numba_csr.simd import (
    I64,
    WIDTH,
    Emit,
    add,
    fma,
    load,
    splat,
    store,
    total,
)

ABREAST = 4
"""The number of independent gathers at a time. Each thread makes a multiple of it."""

INT, INT_TYPE = types.int64, ir.IntType(64)


def _place(emit, kind, rows, p, stride, at):
    b = emit.builder
    return b.add(b.mul(b.sext(emit.scalar(kind, rows, p), I64), stride), at)


def _gather(emit, kinds, arrays, start, stop, stride, at, ahead, vectors=1, by=None):
    """Emit code for the sum of vectors x lanes samples of the neurons rows[start..stop - 1].

    kinds, arrays  numba types and LLVM values of: rows (G + ahead,) int32; X flat, where a neuron's
                   samples begin at rows[p] stride + at; and Y, if `by` is added to it at the same
                   positions
    ahead  prefetch distance in gathers; 0: none
    """
    builder, (rows, X) = emit.builder, kinds[:2]
    rows_, X_ = arrays[:2]
    abreast = max(1, ABREAST // vectors)
    size = 1 if by is not None else vectors * emit.lanes * (4 if X.dtype == types.float32 else 2)
    slots = [cgutils.alloca_once_value(builder, emit.zero()) for _ in range(abreast * vectors)]
    with cgutils.for_range_slice(builder, start, stop, I64(abreast), INT_TYPE) as (p, _):
        for i in range(abreast):
            here = builder.add(p, I64(i))
            with builder.if_then(builder.icmp_signed(">", ahead, I64(0)), likely=False):
                soon = _place(emit, rows, rows_, builder.add(here, ahead), stride, at)
                for target, (kind, array) in enumerate(zip(kinds[1:], arrays[1:])):
                    emit.prefetch(kind, array, soon, size, write=target == 1)
            x = _place(emit, rows, rows_, here, stride, at)
            for v in range(vectors):
                slot = slots[i * vectors + v]
                value = emit.load(X, X_, builder.add(x, I64(v * emit.lanes)))
                builder.store(builder.fadd(builder.load(slot), value), slot)
            if by is not None:
                old = emit.load(kinds[2], arrays[2], x)
                emit.store(kinds[2], arrays[2], x, builder.fadd(old, emit.splat(by)))
    sums = emit.zero()
    for slot in slots:
        sums = builder.fadd(sums, builder.load(slot))
    return emit.total(sums)


def gathering(vectors):
    """Make an intrinsic that sums `vectors` x WIDTH samples of each neuron: see `_gather`."""

    @intrinsic
    def gathered(typing, rows, start, stop, X, stride, at, ahead):
        def code(context, builder, signature, args):
            rows_, start, stop, X_, *rest = args
            emit = Emit(context, builder, WIDTH)
            return _gather(emit, (rows, X), (rows_, X_), start, stop, *rest, vectors)

        return types.float32(rows, INT, INT, X, INT, INT, INT), code

    return gathered


def _for_batch(context, builder, N, gather):
    """Emit code for the result of gather(emit, stride, at) with vectors of N <= 8 lanes."""
    found = cgutils.alloca_once(builder, ir.FloatType())

    def batch(lanes):
        emit = Emit(context, builder, lanes)
        builder.store(gather(emit, I64(lanes), I64(0)), found)

    for_batch(builder, N, batch)
    return builder.load(found)


@intrinsic
def narrow(typing, N, rows, start, stop, X, ahead):
    """The sum of the N <= 8 samples of each neuron."""

    def code(context, builder, signature, args):
        N, rows_, start, stop, X_, ahead = args

        def gather(emit, stride, at):
            return _gather(emit, (rows, X), (rows_, X_), start, stop, stride, at, ahead)

        return _for_batch(context, builder, N, gather)

    return types.float32(INT, rows, INT, INT, X, INT), code


@intrinsic
def narrow_add(typing, N, rows, start, stop, X, Y, by, ahead):
    """As `narrow`, but also adds `by` at the same positions of Y."""

    def code(context, builder, signature, args):
        N, rows_, start, stop, X_, Y_, by, ahead = args

        def gather(emit, stride, at):
            kinds, arrays = (rows, X, Y), (rows_, X_, Y_)
            return _gather(emit, kinds, arrays, start, stop, stride, at, ahead, by=by)

        return _for_batch(context, builder, N, gather)

    return types.float32(INT, rows, INT, INT, X, Y, types.float32, INT), code


gather_v8, gather_v4, gather_v2, gather_v1 = (gathering(vectors) for vectors in (8, 4, 2, 1))


@njit(cache=True, parallel=True, error_model="numpy")
def gather_rows(rows, cuts, X, stride, step, tiles, vectors, ahead, passes):
    """Read `vectors` x WIDTH samples of each neuron in `rows` from X, flat, where they begin at
    rows[p] stride. Do so `tiles` times, each time `step` numbers further on, for the next part of
    the batch. Returns each thread's sum.

    cuts (T + 1,)  bounds in `rows` of each thread's part, multiples of ABREAST
    """
    sums = np.zeros(cuts.size - 1, dtype=np.float32)
    for c in prange(cuts.size - 1):
        start, stop = cuts[c], cuts[c + 1]
        own = np.float32(0)
        for _ in range(passes):
            for t in range(tiles):
                at = t * step
                if vectors == 8:
                    own += gather_v8(rows, start, stop, X, stride, at, ahead)
                elif vectors == 4:
                    own += gather_v4(rows, start, stop, X, stride, at, ahead)
                elif vectors == 2:
                    own += gather_v2(rows, start, stop, X, stride, at, ahead)
                else:
                    own += gather_v1(rows, start, stop, X, stride, at, ahead)
        sums[c] = own
    return sums


@njit(cache=True, parallel=True, error_model="numpy")
def gather_narrow(rows, cuts, X, N, ahead, passes):
    """Read the N <= 8 samples of each neuron in `rows`. Returns each thread's sum."""
    sums = np.zeros(cuts.size - 1, dtype=np.float32)
    for c in prange(cuts.size - 1):
        own = np.float32(0)
        for _ in range(passes):
            own += narrow(N, rows, cuts[c], cuts[c + 1], X, ahead)
        sums[c] = own
    return sums


@njit(cache=True, parallel=True, error_model="numpy")
def gather_add(rows, cuts, X, Y, N, by, ahead, passes):
    """As `gather_narrow`, but also adds `by` to the same samples of Y (T, size of X), flat, which
    has a part for each thread."""
    sums = np.zeros(cuts.size - 1, dtype=np.float32)
    for c in prange(cuts.size - 1):
        mine = Y[c * X.size : (c + 1) * X.size]
        own = np.float32(0)
        for _ in range(passes):
            own += narrow_add(N, rows, cuts[c], cuts[c + 1], X, mine, by, ahead)
        sums[c] = own
    return sums


@njit(cache=True, parallel=True, error_model="numpy")
def read(A, cuts, passes):
    """Read A in order. Returns each thread's sum; cuts are multiples of 8 WIDTH."""
    sums = np.zeros(cuts.size - 1, dtype=np.float32)
    for c in prange(cuts.size - 1):
        zero = splat(np.float32(0))
        a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
        for _ in range(passes):
            for i in range(cuts[c], cuts[c + 1], 8 * WIDTH):
                a0 = add(a0, load(A, i))
                a1 = add(a1, load(A, i + WIDTH))
                a2 = add(a2, load(A, i + 2 * WIDTH))
                a3 = add(a3, load(A, i + 3 * WIDTH))
                a4 = add(a4, load(A, i + 4 * WIDTH))
                a5 = add(a5, load(A, i + 5 * WIDTH))
                a6 = add(a6, load(A, i + 6 * WIDTH))
                a7 = add(a7, load(A, i + 7 * WIDTH))
        sums[c] = total(add(add(add(a0, a1), add(a2, a3)), add(add(a4, a5), add(a6, a7))))
    return sums


@njit(cache=True, parallel=True, error_model="numpy")
def triad(A, B, C, s, cuts, passes):
    """A = B + s C; cuts are multiples of WIDTH."""
    for c in prange(cuts.size - 1):
        by = splat(np.float32(s))
        for _ in range(passes):
            for i in range(cuts[c], cuts[c + 1], WIDTH):
                store(A, i, fma(by, load(C, i), load(B, i)))


CHAINS = 12


@njit(cache=True, parallel=True, error_model="numpy")
def multiply_add(threads, x, passes):
    """y -> y / 2 + x in CHAINS independent chains of WIDTH lanes. Each starts with another
    value, because the compiler would merge equal chains."""
    sums = np.zeros(threads, dtype=np.float32)
    for c in prange(threads):
        m, y = splat(np.float32(0.5)), splat(x)
        a0, a1, a2 = y, add(y, y), splat(np.float32(3 * x))
        a3, a4, a5 = add(a1, a1), splat(np.float32(5 * x)), add(a2, a2)
        b0, b1, b2 = splat(np.float32(7 * x)), add(a3, a3), splat(np.float32(9 * x))
        b3, b4, b5 = add(a4, a4), splat(np.float32(11 * x)), add(a5, a5)
        for _ in range(passes):
            a0, a1, a2 = fma(a0, m, y), fma(a1, m, y), fma(a2, m, y)
            a3, a4, a5 = fma(a3, m, y), fma(a4, m, y), fma(a5, m, y)
            b0, b1, b2 = fma(b0, m, y), fma(b1, m, y), fma(b2, m, y)
            b3, b4, b5 = fma(b3, m, y), fma(b4, m, y), fma(b5, m, y)
        a0 = add(add(add(a0, a1), add(a2, a3)), add(a4, a5))
        b0 = add(add(add(b0, b1), add(b2, b3)), add(b4, b5))
        sums[c] = total(add(a0, b0))
    return sums


@njit(cache=True, parallel=True, error_model="numpy")
def start(threads, marks):
    """Do nothing on every thread: the cost of starting them."""
    for c in prange(threads):
        marks[c] = c
