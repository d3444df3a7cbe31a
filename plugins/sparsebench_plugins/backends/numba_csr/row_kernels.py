"""The innermost loops for large batches: one row of W times many rows of activations, with the sums
in registers.

Each loop is generated as LLVM IR for a number of lanes and of vectors. Sums are added in the order
of the connections, for any machine and number of threads.

ahead  prefetch distance in connections; 0: no prefetching
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.simd import FLOAT, I64, WIDTH, Emit

INT = types.int64


class Loop:
    """`while p + step <= stop` with p in a stack slot that LLVM turns into a register."""

    def __init__(self, builder, p, stop, step):
        self.builder, self.p, self.stop, self.step = builder, p, stop, step

    def __enter__(self):
        b = self.builder
        self.head, body, self.end = (b.append_basic_block(n) for n in ("head", "body", "end"))
        b.branch(self.head)
        b.position_at_end(self.head)
        last = b.add(b.load(self.p), I64(self.step))
        b.cbranch(b.icmp_signed("<=", last, self.stop), body, self.end)
        b.position_at_end(body)
        return b.load(self.p)

    def __exit__(self, *error):
        b = self.builder
        b.store(b.add(b.load(self.p), I64(self.step)), self.p)
        b.branch(self.head)
        b.position_at_end(self.end)


def stack_slots(builder, values):
    """A stack slot per value; LLVM promotes them to registers."""
    return [cgutils.alloca_once_value(builder, value) for value in values]


def _row(emit, kind, indices, p, stride, at):
    """indices[p] stride + at."""
    b = emit.builder
    return b.add(b.mul(b.sext(emit.scalar(kind, indices, p), I64), stride), at)


def _fetch(emit, kinds, arrays, p, last, ahead, stride, at, size):
    """Prefetch the activations of the connection `ahead` connections after p, but not after the
    last."""
    b = emit.builder
    (index_kind, row_kind), (indices, rows) = kinds, arrays
    with b.if_then(b.icmp_signed(">", ahead, I64(0)), likely=False):
        q = b.add(p, ahead)
        q = b.select(b.icmp_signed("<", q, last), q, last)
        emit.prefetch(row_kind, rows, _row(emit, index_kind, indices, q, stride, at), size)


def _bytes(kind, count):
    return count * (4 if kind.dtype == types.float32 else 2)


def gather(vectors, some=False, abreast=1):
    """z = b + sum over p of data[p] x[indices[p]], for `vectors` x WIDTH samples.

    data, indices (nnz,)  connections start..stop - 1 are used; `last` is the matrix's last one
    X, Z     flat; a neuron's samples are at indices[p] stride + at in X, and at z in Z
    count    number of samples if `some` (with vectors = 1); otherwise not used
    abreast  number of independent sums, because the additions of a single one would wait for each
             other
    """

    @intrinsic
    def gather_row(typing, data, indices, start, stop, last, X, stride, at, b, Z, z, count, ahead):
        def code(context, builder, signature, args):
            (data_, indices_, start, stop, last, X_, stride, at, b, Z_, z, count, ahead) = args
            emit = Emit(context, builder, WIDTH)
            emit = emit.masked(count) if some else emit
            start_values = [emit.splat(b)] * vectors + [emit.zero()] * vectors * (abreast - 1)
            sums = stack_slots(builder, start_values)
            (p_slot,) = stack_slots(builder, [start])

            def one(p, sums):
                w = emit.splat(emit.scalar(data, data_, p))
                x = _row(emit, indices, indices_, p, stride, at)
                for v, slot in enumerate(sums):
                    here = emit.load(X, X_, builder.add(x, I64(v * WIDTH)))
                    builder.store(emit.fma(w, here, builder.load(slot)), slot)

            for step in sorted({abreast, 1}, reverse=True):
                with Loop(builder, p_slot, stop, step) as p:
                    for i in range(step):
                        here = builder.add(p, I64(i))
                        kinds, arrays = (indices, X), (indices_, X_)
                        size = _bytes(X, vectors * WIDTH)
                        _fetch(emit, kinds, arrays, here, last, ahead, stride, at, size)
                        one(here, sums[i * vectors : (i + 1) * vectors])
            for v in range(vectors):
                parts = [builder.load(sums[a * vectors + v]) for a in range(abreast)]
                while len(parts) > 1:
                    pairs = zip(parts[::2], parts[1::2], strict=True)
                    parts = [builder.fadd(a, c) for a, c in pairs]
                emit.store(Z, Z_, builder.add(z, I64(v * WIDTH)), parts[0])
            return context.get_dummy_value()

        f = types.float32
        signature = types.void(data, indices, INT, INT, INT, X, INT, INT, f, Z, INT, INT, INT)
        return signature, code

    return gather_row


def column(vectors, some=False, downstream=True):
    """The backward pass of one column of W: the gradients of its connections, which are the dots of
    the rows of DZ with x, and dx = sum over p of w[p] dz[rows[p]].

    w, rows (nnz,) by column  connections start..stop - 1 are used; `last` is the matrix's last one
    DZ, X, DX  flat; a neuron's samples are at rows[p] stride + at in DZ, at x in X, at dx in DX
    G          flat; the dots are written from g on, or added if `more`
    downstream False: only the dots are computed; w and DX are not used
    """

    @intrinsic
    def column_pass(
        typing, w, rows, start, stop, last, DZ, stride, at, X, x, DX, dx, G, g, more, count, ahead
    ):
        def code(context, builder, signature, args):
            (w_, rows_, start, stop, last, DZ_, stride, at) = args[:8]
            (X_, x, DX_, dx, G_, g, more, count, ahead) = args[8:]
            b = builder
            emit = Emit(context, b, WIDTH)
            emit = emit.masked(count) if some else emit
            xs = [emit.load(X, X_, b.add(x, I64(v * WIDTH))) for v in range(vectors)]
            sums = stack_slots(b, [emit.zero()] * vectors) if downstream else []
            (p_slot,) = stack_slots(b, [start])
            size = _bytes(DZ, vectors * WIDTH)

            def dots(p, step):
                """The products of connections p..p + step - 1, as vectors over samples."""
                here = [b.add(p, I64(i)) for i in range(step)]
                for q in here:
                    _fetch(emit, (rows, DZ), (rows_, DZ_), q, last, ahead, stride, at, size)
                zs = [_row(emit, rows, rows_, q, stride, at) for q in here]
                ws = [emit.splat(emit.scalar(w, w_, q)) for q in here] if downstream else []
                dot = [emit.zero()] * step
                for v in range(vectors):
                    for i in range(step):
                        dz = emit.load(DZ, DZ_, b.add(zs[i], I64(v * WIDTH)))
                        dot[i] = emit.fma(dz, xs[v], dot[i])
                        if downstream:
                            b.store(emit.fma(ws[i], dz, b.load(sums[v])), sums[v])
                return dot

            def keep(p, value):
                where = emit.pointer(G, G_, b.add(g, b.sub(p, start)), value.type)
                old = b.load(where)
                old.align = 4
                zero = value.type([0.0] * 4) if value.type != FLOAT else FLOAT(0.0)
                b.store(b.fadd(value, b.select(more, old, zero)), where).align = 4

            with Loop(b, p_slot, stop, 4) as p:
                keep(p, emit.four_totals(*dots(p, 4)))
            with Loop(b, p_slot, stop, 1) as p:
                keep(p, emit.total(*dots(p, 1)))
            for v, slot in enumerate(sums):
                emit.store(DX, DX_, b.add(dx, I64(v * WIDTH)), b.load(slot))
            return context.get_dummy_value()

        signature = types.void(
            w, rows, INT, INT, INT, DZ, INT, INT, X, INT, DX, INT, G, INT, types.boolean, INT, INT
        )
        return signature, code

    return column_pass
