"""The innermost loops for batches of 1 to 8 samples, over the connections of a block.

A connection is a weight and two 16-bit numbers, its row and column within the block. Loops are
generated as LLVM IR for each number of samples. Arrays are flat; x, z and similar names are the
indices at which the block's first neuron begins.

ahead  prefetch distance in connections; 0: no prefetching
last   the last connection of the matrix
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sparsebench_plugins.backends.numba_csr.arguments import LARGEST
from sparsebench_plugins.backends.numba_csr.row_kernels import INT, Loop, stack_slots
from sparsebench_plugins.backends.numba_csr.simd import FLOAT, I32, I64, Emit, vector

TOGETHER = 4
"""The number of connections that are processed together. Their dots are summed together, and a long
row has this number of independent sums."""


MANY = (1, 2)
"""Rows with these numbers of connections are processed TOGETHER at a time. Others are rare, so that
compiling loops for them would not pay."""


def _fetch(emit, columns, p, ahead, last, neurons):
    """Prefetch the neuron of the connection `ahead` connections after p, but not after the last.

    neurons  pairs of a `_Neurons` and whether it will be written
    """
    b = emit.builder
    with b.if_then(b.icmp_signed(">", ahead, I64(0)), likely=False):
        q = b.add(p, ahead)
        q = b.select(b.icmp_signed("<", q, last), q, last)
        for each, write in neurons:
            emit.prefetch_at(each.place(columns, q), write)


def for_batch(builder, N, emit):
    """Emit the code of each batch size from 1 to LARGEST, and a switch that runs the one for N."""
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
    """The samples of a block's neurons in a flat array: they begin at index `at`, and `stride`
    numbers lie between the starts of two neurons."""

    def __init__(self, emit, kind, array, at, stride):
        self._emit, self._kind, self._stride = emit, kind, stride
        b, element = emit.builder, emit.element(kind)
        self._base = b.gep(emit.pointer(kind, array, at, element), [I64(0)])

    def place(self, numbers, p):
        """The address at which the samples of the neuron numbers[p] begin; `numbers` is (kind,
        array) of uint16."""
        b = self._emit.builder
        number = b.zext(self._emit.scalar(*numbers, p), I64)
        return b.gep(self._base, [b.mul(number, self._stride)])

    def load(self, place):
        return self._emit.load_at(self._kind, place)

    def store(self, place, value):
        self._emit.store_at(self._kind, place, value)


def forward_rows(length):
    """Z[z + row N ..] += w[p] X[x + column N ..] for the rows of a block from p on, as long as each
    has `length` connections. Returns the connection at which it ended, at most `stop`.

    w, rows, columns (nnz,)
    X, Z    X is float32 or bfloat16, Z is float32
    length  None: given at the call, and large enough for several independent sums
    """

    @intrinsic
    def forward_pass(typing, N, w, rows, columns, p, stop, last, count, ahead, X, x, Z, z):
        def code(context, builder, signature, args):
            (N, w_, rows_, columns_, start, stop, last, count, ahead, X_, x, Z_, z) = args
            b = builder
            size = count if length is None else I64(length)
            (p_slot,) = stack_slots(b, [start])

            def batch(lanes):
                emit = Emit(context, b, lanes)
                xs = _Neurons(emit, X, X_, x, I64(lanes))
                zs = _Neurons(emit, Z, Z_, z, I64(lanes))

                def product(q, total, fetching):
                    if fetching:
                        _fetch(emit, (columns, columns_), q, ahead, last, [(xs, False)])
                    weight = emit.splat(emit.scalar(w, w_, q))
                    return emit.fma(weight, xs.load(xs.place((columns, columns_), q)), total)

                def all_of(p, total, fetching):
                    if length is not None:
                        for i in range(length):
                            total = product(b.add(p, I64(i)), total, fetching)
                        return total
                    sums = stack_slots(b, [emit.zero()] * TOGETHER)
                    (q_slot,) = stack_slots(b, [p])
                    end = b.add(p, size)
                    for step in (TOGETHER, 1):
                        with Loop(b, q_slot, end, step) as q:
                            for i in range(step):
                                here = b.add(q, I64(i))
                                b.store(product(here, b.load(sums[i]), fetching), sums[i])
                    for slot in sums:
                        total = b.fadd(total, b.load(slot))
                    return total

                def fetch(p, count):
                    """Prefetch the neurons of `count` connections, `ahead` connections after p."""
                    with b.if_then(b.icmp_signed(">", ahead, I64(0))):
                        q, end = b.add(p, ahead), b.sub(last, I64(count))
                        q = b.select(b.icmp_signed("<", q, end), q, end)
                        for i in range(count):
                            emit.prefetch_at(xs.place((columns, columns_), b.add(q, I64(i))))

                def whole_row(p, fetching):
                    target = zs.place((rows, rows_), p)
                    zs.store(target, all_of(p, zs.load(target), fetching))

                if length in MANY:
                    with _ManyRows(emit, (rows, rows_), p_slot, stop, length) as p:
                        fetch(p, TOGETHER * length)
                        for i in range(TOGETHER):
                            whole_row(b.add(p, I64(i * length)), False)
                with _RowsOf(emit, (rows, rows_), p_slot, stop, size) as p:
                    whole_row(p, True)

            for_batch(b, N, batch)
            return b.load(p_slot)

        numbers = (INT, INT, INT, INT, INT, X, INT, Z, INT)
        return INT(INT, w, rows, columns, *numbers), code

    return forward_pass


class _ManyRows:
    """A loop that runs while the TOGETHER rows from p on have `length` connections each and end
    before `stop`. Rows are sorted by their lengths, so only the last of them is checked."""

    def __init__(self, emit, rows, p_slot, stop, length):
        self._emit, self._rows, self._p, self._stop, self._length = emit, rows, p_slot, stop, length

    def __enter__(self):
        b, length = self._emit.builder, self._length
        names = ("many", "last_of_many", "many_rows", "many_end")
        self._head, check, body, self._end = (b.append_basic_block(n) for n in names)
        b.branch(self._head)
        b.position_at_end(self._head)
        p = b.load(self._p)
        self._next = b.add(p, I64(TOGETHER * length))
        b.cbranch(b.icmp_signed("<", self._next, self._stop), check, self._end)
        b.position_at_end(check)
        first, final = b.sub(self._next, I64(length)), b.sub(self._next, I64(1))
        before, first, final, behind = (
            self._emit.scalar(*self._rows, q)
            for q in (b.sub(first, I64(1)), first, final, self._next)
        )
        whole = b.and_(b.icmp_unsigned("!=", before, first), b.icmp_unsigned("!=", final, behind))
        if length > 1:
            whole = b.and_(whole, b.icmp_unsigned("==", first, final))
        b.cbranch(whole, body, self._end)
        b.position_at_end(body)
        return p

    def __exit__(self, *error):
        b = self._emit.builder
        b.store(self._next, self._p)
        b.branch(self._head)
        b.position_at_end(self._end)


class _RowsOf:
    """A loop over rows that runs while the row that begins at p has `size` connections, all before
    `stop`. Rows are sorted by length, so only whether the next row begins there is checked."""

    def __init__(self, emit, rows, p_slot, stop, size):
        self._emit, self._rows, self._p, self._stop, self._size = emit, rows, p_slot, stop, size

    def __enter__(self):
        b = self._emit.builder
        names = ("rows", "next_row", "last_row", "row", "rows_end")
        self._head, other, last, body, self._end = (b.append_basic_block(n) for n in names)
        b.branch(self._head)
        b.position_at_end(self._head)
        p = b.load(self._p)
        self._next = b.add(p, self._size)
        b.cbranch(b.icmp_signed("<", self._next, self._stop), other, last)
        b.position_at_end(other)
        row, following = (self._emit.scalar(*self._rows, q) for q in (p, self._next))
        b.cbranch(b.icmp_unsigned("!=", row, following), body, self._end)
        b.position_at_end(last)
        b.cbranch(b.icmp_signed("==", self._next, self._stop), body, self._end)
        b.position_at_end(body)
        return p

    def __exit__(self, *error):
        b = self._emit.builder
        b.store(self._next, self._p)
        b.branch(self._head)
        b.position_at_end(self._end)


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
"""Numbers of samples for which several vectors fill a larger one."""


def backward_block(downstream):
    """The dots of DZ and X on connections start..stop - 1, and DX[x + column N ..] += w[p] DZ.

    w, rows, columns (nnz,)
    X, DZ, DX   X and DZ are float32 or bfloat16, DX is float32
    G           flat; the dots are written from g on
    downstream  False: only the dots are computed; w and DX are not used
    """

    @intrinsic
    def backward_pass(
        typing, N, w, rows, columns, start, stop, last, ahead, DZ, z, X, x, DX, d, G, g
    ):
        def code(context, builder, signature, args):
            (N, w_, rows_, columns_, start, stop, last, ahead, DZ_, z, X_, x, DX_, d, G_, g) = args
            b = builder

            def batch(lanes):
                emit = Emit(context, b, lanes)
                zs = _Neurons(emit, DZ, DZ_, z, I64(lanes))
                xs = _Neurons(emit, X, X_, x, I64(lanes))
                ds = _Neurons(emit, DX, DX_, d, I64(lanes))
                (p_slot,) = stack_slots(b, [start])

                def products(here):
                    """The products of DZ and X for each connection; all are read before anything is
                    written."""
                    for q in here:
                        written = [(ds, True)] if downstream else []
                        _fetch(emit, (columns, columns_), q, ahead, last, [(xs, False), *written])
                    dzs = [zs.load(zs.place((rows, rows_), q)) for q in here]
                    places = [xs.place((columns, columns_), q) for q in here]
                    made = [b.fmul(dz, xs.load(x)) for dz, x in zip(dzs, places, strict=True)]
                    if downstream:
                        targets = [ds.place((columns, columns_), q) for q in here]
                        weights = [emit.splat(emit.scalar(w, w_, q)) for q in here]
                        for weight, dz, target in zip(weights, dzs, targets, strict=True):
                            ds.store(target, emit.fma(weight, dz, ds.load(target)))
                    return made

                with Loop(b, p_slot, stop, TOGETHER) as p:
                    dots = _four_dots(emit, products([b.add(p, I64(i)) for i in range(TOGETHER)]))
                    Emit(context, b, TOGETHER).store(G, G_, b.add(g, b.sub(p, start)), dots)
                with Loop(b, p_slot, stop, 1) as p:
                    single = Emit(context, b, 1)
                    dot = single.splat(emit.total(products([p])[0]))
                    single.store(G, G_, b.add(g, b.sub(p, start)), dot)

            for_batch(b, N, batch)
            return context.get_dummy_value()

        signature = (DZ, INT, X, INT, DX, INT, G, INT)
        return types.void(INT, w, rows, columns, INT, INT, INT, INT, *signature), code

    return backward_pass
