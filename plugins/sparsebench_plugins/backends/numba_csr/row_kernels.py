"""The innermost loops: one row of W against many rows of activations, sums in registers.

Each is made for a number of lanes and of vectors, as LLVM IR; sums run in the order of the
connections whatever the machine or the number of threads.

ahead  connections from the one at work to the one whose activations are fetched; 0: none
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.simd import FLOAT, I64, WIDTH, Emit

INT = types.int64


class _Loop:
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


def _slots(builder, values):
    """A stack slot per value; LLVM promotes them to registers."""
    return [cgutils.alloca_once_value(builder, value) for value in values]


def _row(emit, kind, indices, p, stride, at):
    """indices[p] stride + at."""
    b = emit.builder
    return b.add(b.mul(b.sext(emit.scalar(kind, indices, p), I64), stride), at)


def _fetch(emit, kinds, arrays, p, last, ahead, stride, at, size):
    """Prefetch the activations of the connection `ahead` of p, the last one at most."""
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

    data, indices (nnz,), connections start..stop - 1      last  the last one of the matrix
    X flat, a neuron's samples at indices[p] stride + at   Z flat, at z
    count  the samples wanted where `some` (vectors = 1); else not looked at
    abreast  independent sums, where one vector alone would wait for itself
    """

    @intrinsic
    def gather_row(typing, data, indices, start, stop, last, X, stride, at, b, Z, z, count, ahead):
        def code(context, builder, signature, args):
            (data_, indices_, start, stop, last, X_, stride, at, b, Z_, z, count, ahead) = args
            emit = Emit(context, builder, WIDTH)
            emit = emit.masked(count) if some else emit
            start_values = [emit.splat(b)] * vectors + [emit.zero()] * vectors * (abreast - 1)
            sums = _slots(builder, start_values)
            (p_slot,) = _slots(builder, [start])

            def one(p, sums):
                w = emit.splat(emit.scalar(data, data_, p))
                x = _row(emit, indices, indices_, p, stride, at)
                for v, slot in enumerate(sums):
                    here = emit.load(X, X_, builder.add(x, I64(v * WIDTH)))
                    builder.store(emit.fma(w, here, builder.load(slot)), slot)

            for step in sorted({abreast, 1}, reverse=True):
                with _Loop(builder, p_slot, stop, step) as p:
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
    """One column of W against DZ: the dots with x, and dx = sum over p of w[p] dz[rows[p]].

    w, rows (nnz,) by column, connections start..stop - 1    last  the last one of the matrix
    DZ flat, a neuron's samples at rows[p] stride + at       X, DX flat, at x and dx
    G flat: the dots go to g.. , added to what is there if `more`
    downstream False: only the dots; w and DX are not looked at
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
            sums = _slots(b, [emit.zero()] * vectors) if downstream else []
            (p_slot,) = _slots(b, [start])
            size = _bytes(DZ, vectors * WIDTH)

            def dots(p, step):
                """Of connections p..p + step - 1, as vectors over samples."""
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

            with _Loop(b, p_slot, stop, 4) as p:
                keep(p, emit.four_totals(*dots(p, 4)))
            with _Loop(b, p_slot, stop, 1) as p:
                keep(p, emit.total(*dots(p, 1)))
            for v, slot in enumerate(sums):
                emit.store(DX, DX_, b.add(dx, I64(v * WIDTH)), b.load(slot))
            return context.get_dummy_value()

        signature = types.void(
            w, rows, INT, INT, INT, DZ, INT, INT, X, INT, DX, INT, G, INT, types.boolean, INT, INT
        )
        return signature, code

    return column_pass


# --- batches of 1 to 8: vectors run over the few samples of several connections ------

LARGEST = 8
"""The largest batch that has kernels of its own."""


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


def _group_sizes(lanes):
    """Connections whose samples fill one vector, then single ones."""
    together = WIDTH // lanes if WIDTH % lanes == 0 else 1
    return sorted({together, 1}, reverse=True)


def _neurons(emit, kind, indices, p, size, lanes):
    """Where the samples of connections p..p + size - 1 begin."""
    here = [emit.builder.add(p, I64(i)) for i in range(size)]
    return [_row(emit, kind, indices, q, I64(lanes), I64(0)) for q in here]


def _fetch_group(emit, kind, indices, p, size, last, ahead, lanes, targets):
    """Prefetch for connections `ahead` of a group; targets (kind, array, to write)."""
    b = emit.builder
    with b.if_then(b.icmp_signed(">", ahead, I64(0)), likely=False):
        for i in range(size):
            q = b.add(b.add(p, ahead), I64(i))
            q = b.select(b.icmp_signed("<", q, last), q, last)
            j = _row(emit, kind, indices, q, I64(lanes), I64(0))
            for target, array, write in targets:
                emit.prefetch(target, array, j, 1, write=write)


@intrinsic
def small_gather(typing, N, data, indices, start, stop, last, X, b, Z, z, ahead):
    """Part of a row of Z = W X + b at a batch of N <= 8 samples.

    data, indices (nnz,) csr, connections start..stop - 1      last  the last one of the matrix
    X flat, N per neuron      Z flat: the sum goes to z..
    """

    def code(context, builder, signature, args):
        (N, data_, indices_, start, stop, last, X_, b, Z_, z, ahead) = args

        def batch(lanes):
            single = Emit(context, builder, lanes)
            (p_slot, sum_slot) = _slots(builder, [start, single.splat(b)])
            for size in _group_sizes(lanes):
                emit = Emit(context, builder, size * lanes)
                (slot,) = _slots(builder, [emit.zero()])
                with _Loop(builder, p_slot, stop, size) as p:
                    targets = [(X, X_, False)]
                    _fetch_group(emit, indices, indices_, p, size, last, ahead, lanes, targets)
                    at = _neurons(emit, indices, indices_, p, size, lanes)
                    w = emit.repeated(Emit(context, builder, size).load(data, data_, p), lanes)
                    x = emit.load_packed(X, X_, at)
                    builder.store(emit.fma(w, x, builder.load(slot)), slot)
                v = builder.load(slot)
                while v.type.count > lanes:
                    half = v.type.count // 2
                    low = emit.shuffle(v, v, range(half))
                    v = builder.fadd(low, emit.shuffle(v, v, range(half, 2 * half)))
                builder.store(builder.fadd(builder.load(sum_slot), v), sum_slot)
            single.store(Z, Z_, z, builder.load(sum_slot))

        for_batch(builder, N, batch)
        return context.get_dummy_value()

    f = types.float32
    return types.void(INT, data, indices, INT, INT, INT, X, f, Z, INT, INT), code


def small_column(downstream):
    """Part of a row backward at a batch of N <= 8 samples: the dots, and DX += w dz.

    data, indices (nnz,) csr, connections start..stop - 1; DZ, X, DX flat, N per neuron
    G flat: the dots go to g.. ;  downstream False: DX is not looked at
    A row's columns are unique, so that several rows of DX can be read and written at once.
    """

    @intrinsic
    def small_pass(typing, N, data, indices, start, stop, last, DZ, z, X, DX, G, g, ahead):
        def code(context, builder, signature, args):
            (N, data_, indices_, start, stop, last, DZ_, z, X_, DX_, G_, g, ahead) = args
            b = builder

            def batch(lanes):
                dz = Emit(context, b, lanes).load(DZ, DZ_, z)
                (p_slot,) = _slots(b, [start])
                for size in _group_sizes(lanes):
                    emit = Emit(context, b, size * lanes)
                    group = Emit(context, b, size)
                    dzs = emit.tiled(dz, size)
                    with _Loop(b, p_slot, stop, size) as p:
                        targets = [(X, X_, False)] + [(DX, DX_, True)] * downstream
                        _fetch_group(emit, indices, indices_, p, size, last, ahead, lanes, targets)
                        at = _neurons(emit, indices, indices_, p, size, lanes)
                        products = b.fmul(dzs, emit.load_packed(X, X_, at))
                        if size > 1:
                            dots = emit.folded(products, size)
                        else:
                            dots = group.splat(emit.total(products))
                        group.store(G, G_, b.add(g, b.sub(p, start)), dots)
                        if downstream:
                            w = emit.repeated(group.load(data, data_, p), lanes)
                            dx = emit.fma(w, dzs, emit.load_packed(DX, DX_, at))
                            emit.store_packed(DX, DX_, at, dx)

            for_batch(b, N, batch)
            return context.get_dummy_value()

        row = (DZ, INT, X, DX, G, INT, INT)
        return types.void(INT, data, indices, INT, INT, INT, *row), code

    return small_pass
