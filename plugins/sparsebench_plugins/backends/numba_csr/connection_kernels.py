"""The innermost loops of batches of 1 to 8: one connection after another of a block.

A connection is a weight and two numbers of 16 bits, its row and its column within the block, so
there is no loop per row whose end the processor would guess wrongly. As LLVM IR, for each number
of samples. Arrays are flat; x, z and the like are where the block's first neuron begins.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.arguments import LARGEST
from sparsebench_plugins.backends.numba_csr.row_kernels import INT, Loop, stack_slots
from sparsebench_plugins.backends.numba_csr.simd import FLOAT, I32, I64, Emit, vector

TOGETHER = 4
"""Connections whose dots are summed together."""


def for_batch(builder, N, emit):
    """Write emit(lanes) for each batch of 1 to LARGEST samples, and run the one for N."""
    end, last = (builder.append_basic_block(name) for name in ("end", f"batch{LARGEST}"))
    switch = builder.switch(N, last)
    for lanes in range(1, LARGEST + 1):
        block = last if lanes == LARGEST else builder.append_basic_block(f"batch{lanes}")
        if lanes < LARGEST:
            switch.add_case(I64(lanes), block)
        builder.position_at_end(block)
        emit(lanes)
        builder.branch(end)
    builder.position_at_end(end)


class _Neurons:
    """The samples of a block's neurons: `stride` numbers from one neuron to the next."""

    def __init__(self, emit, kind, array, at, stride):
        self._emit, self._kind, self._stride = emit, kind, stride
        b, element = emit.builder, emit.element(kind)
        self._base = b.gep(emit.pointer(kind, array, at, element), [I64(0)])

    def place(self, numbers, p):
        """Where the samples of the neuron numbers[p] begin; numbers (kind, array) of uint16."""
        b = self._emit.builder
        number = b.zext(self._emit.scalar(*numbers, p), I64)
        return b.gep(self._base, [b.mul(number, self._stride)])

    def load(self, place):
        return self._emit.load_at(self._kind, place)

    def store(self, place, value):
        self._emit.store_at(self._kind, place, value)


def forward_block(strided=False):
    """Z[z + row N ..] += w[p] X[x + column N ..] for connections start..stop - 1.

    w, rows, columns (nnz,)      X float32 or bfloat16, Z float32
    strided  neurons are x_step and z_step numbers apart; otherwise N, known when compiled
    """

    @intrinsic
    def forward_pass(typing, N, w, rows, columns, start, stop, X, x, x_step, Z, z, z_step):
        def code(context, builder, signature, args):
            (N, w_, rows_, columns_, start, stop, X_, x, x_step, Z_, z, z_step) = args
            b = builder

            def batch(lanes):
                emit = Emit(context, b, lanes)
                xs = _Neurons(emit, X, X_, x, x_step if strided else I64(lanes))
                zs = _Neurons(emit, Z, Z_, z, z_step if strided else I64(lanes))
                (p_slot,) = stack_slots(b, [start])
                for size in (TOGETHER, 1):
                    with Loop(b, p_slot, stop, size) as p:
                        here = [b.add(p, I64(i)) for i in range(size)]
                        sources = [xs.place((columns, columns_), q) for q in here]
                        targets = [zs.place((rows, rows_), q) for q in here]
                        for q, source, target in zip(here, sources, targets, strict=True):
                            weight = emit.splat(emit.scalar(w, w_, q))
                            product = emit.fma(weight, xs.load(source), zs.load(target))
                            zs.store(target, product)

            for_batch(b, N, batch)
            return context.get_dummy_value()

        return types.void(INT, w, rows, columns, INT, INT, X, INT, INT, Z, INT, INT), code

    return forward_pass


def _four_dots(emit, products):
    """(4,) the sums over samples of four vectors."""
    b = emit.builder
    if WIDE.issuperset({emit.lanes}):
        while len(products) > 1:
            lanes = range(2 * products[0].type.count)
            pairs = zip(products[::2], products[1::2], strict=True)
            products = [emit.shuffle(a, c, lanes) for a, c in pairs]
        return emit.folded(products[0], TOGETHER)
    dots = ir.Constant(vector(FLOAT, TOGETHER), ir.Undefined)
    for i, product in enumerate(products):
        dots = b.insert_element(dots, emit.total(product), I32(i))
    return dots


WIDE = {1, 2, 4, 8}
"""Numbers of samples whose vectors fill a larger one."""


def backward_block(downstream):
    """The dots of DZ and X on connections start..stop - 1, and DX[x + column N ..] += w[p] DZ.

    w, rows, columns (nnz,)      X, DZ float32 or bfloat16, DX float32
    G flat: the dots go to g..   downstream False: w and DX are not looked at
    """

    @intrinsic
    def backward_pass(typing, N, w, rows, columns, start, stop, DZ, z, X, x, DX, d, G, g):
        def code(context, builder, signature, args):
            (N, w_, rows_, columns_, start, stop, DZ_, z, X_, x, DX_, d, G_, g) = args
            b = builder

            def batch(lanes):
                emit = Emit(context, b, lanes)
                zs = _Neurons(emit, DZ, DZ_, z, I64(lanes))
                xs = _Neurons(emit, X, X_, x, I64(lanes))
                ds = _Neurons(emit, DX, DX_, d, I64(lanes))
                (p_slot,) = stack_slots(b, [start])

                def one(q):
                    dz = zs.load(zs.place((rows, rows_), q))
                    product = b.fmul(dz, xs.load(xs.place((columns, columns_), q)))
                    if downstream:
                        to = ds.place((columns, columns_), q)
                        weight = emit.splat(emit.scalar(w, w_, q))
                        ds.store(to, emit.fma(weight, dz, ds.load(to)))
                    return product

                with Loop(b, p_slot, stop, TOGETHER) as p:
                    products = [one(b.add(p, I64(i))) for i in range(TOGETHER)]
                    at = b.add(g, b.sub(p, start))
                    Emit(context, b, TOGETHER).store(G, G_, at, _four_dots(emit, products))
                with Loop(b, p_slot, stop, 1) as p:
                    single = Emit(context, b, 1)
                    at = b.add(g, b.sub(p, start))
                    single.store(G, G_, at, single.splat(emit.total(one(p))))

            for_batch(b, N, batch)
            return context.get_dummy_value()

        signature = (DZ, INT, X, INT, DX, INT, G, INT)
        return types.void(INT, w, rows, columns, INT, INT, *signature), code

    return backward_pass
