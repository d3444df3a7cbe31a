"""Vectors of float32 as values in numba code, so that a kernel decides which registers it uses.

LLVM decides how a vector of WIDTH lanes maps to the machine: one register with AVX-512, two
with AVX2 or NEON at 8 lanes. Arrays are flat and contiguous. An array of uint16 holds bfloat16,
which is widened when loaded and rounded to nearest even when stored.

There are two levels. `Emit` writes LLVM IR, for loops whose accumulators must stay in registers
(`row_kernels`). The intrinsics below are single operations for kernels written in Python.
"""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

FLOAT, HALF, BYTE = ir.FloatType(), ir.IntType(16), ir.IntType(8)
I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
LINE = 64
"""Bytes of a cache line."""


def host_width() -> int:
    """The number of lanes: 16 with AVX-512, else 8 (one AVX2 register, two of NEON or SSE)."""
    return 16 if llvm.get_host_cpu_features().get("avx512f") else 8


WIDTH = host_width()
FLAGS = ir.IntType(WIDTH)
"""A bit per lane."""


def vector(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


class Emit:
    """Writes vector code of `lanes` float32 at a builder's position.

    mask  None, or (lanes,) i1: the lanes to load and store; the others read 0
    """

    def __init__(self, context, builder, lanes, mask=None):
        self.context, self.builder, self.lanes, self.mask = context, builder, lanes, mask
        self.type = vector(FLOAT, lanes)

    def masked(self, count):
        """A copy that loads and stores only the first `count` lanes; count is an i64."""
        steps = vector(I64, self.lanes)(list(range(self.lanes)))
        mask = self.builder.icmp_signed("<", steps, self.splat(count))
        return Emit(self.context, self.builder, self.lanes, mask)

    def pointer(self, kind, array, index, element):
        """The address of array[index] as a pointer to `element`."""
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [index]), element.as_pointer())

    def scalar(self, kind, array, index):
        return self.builder.load(self.pointer(kind, array, index, self.element(kind)))

    def element(self, kind):
        return self.context.get_data_type(kind.dtype)

    def load(self, kind, array, index):
        """array[index : index + lanes] as float32."""
        if kind.dtype == types.float32:
            return self._load(kind, array, index, FLOAT, 4)
        return self._widened(self._load(kind, array, index, HALF, 2))

    def load_at(self, kind, place):
        """The `lanes` numbers from a pointer on, as float32."""
        wide = kind.dtype == types.float32
        element, align = (FLOAT, 4) if wide else (HALF, 2)
        shape = vector(element, self.lanes)
        value = self.builder.load(self.builder.bitcast(place, shape.as_pointer()))
        value.align = align
        return value if wide else self._widened(value)

    def store_at(self, kind, place, value):
        """Store a vector from a pointer on."""
        value, align = (value, 4) if kind.dtype == types.float32 else (self._rounded(value), 2)
        at = self.builder.bitcast(place, value.type.as_pointer())
        self.builder.store(value, at).align = align

    def _widened(self, bits):
        """bfloat16 bits as float32."""
        wide = self.builder.zext(bits, vector(I32, self.lanes))
        return self.builder.bitcast(self.builder.shl(wide, self.whole(16)), self.type)

    def store(self, kind, array, index, value):
        if kind.dtype == types.float32:
            self._store(kind, array, index, value, 4)
        else:
            self._store(kind, array, index, self._rounded(value), 2)

    def _rounded(self, value):
        """float32 rounded to the bits of bfloat16, to nearest even. A nan stays a nan, but its
        payload may change."""
        b = self.builder
        bits = b.bitcast(value, vector(I32, self.lanes))
        odd = b.and_(b.lshr(bits, self.whole(16)), self.whole(1))
        up = b.lshr(b.add(b.add(bits, self.whole(0x7FFF)), odd), self.whole(16))
        quiet = b.or_(b.lshr(bits, self.whole(16)), self.whole(0x40))
        isnan = b.fcmp_unordered("uno", value, value)
        return b.trunc(b.select(isnan, quiet, up), vector(HALF, self.lanes))

    def whole(self, number):
        """A 32-bit integer in every lane."""
        return vector(I32, self.lanes)([number] * self.lanes)

    def _load(self, kind, array, index, element, align):
        shape = vector(element, self.lanes)
        at = self.pointer(kind, array, index, shape)
        if self.mask is None:
            value = self.builder.load(at)
            value.align = align
            return value
        name = f"llvm.masked.load.v{self.lanes}{'f32' if align == 4 else 'i16'}.p0"
        load = self._function(name, shape, [at.type, I32, self.mask.type, shape])
        return self.builder.call(load, [at, I32(align), self.mask, shape(None)])

    def _store(self, kind, array, index, value, align):
        at = self.pointer(kind, array, index, value.type)
        if self.mask is None:
            self.builder.store(value, at).align = align
            return
        name = f"llvm.masked.store.v{self.lanes}{'f32' if align == 4 else 'i16'}.p0"
        arguments = [value.type, at.type, I32, self.mask.type]
        store = self._function(name, ir.VoidType(), arguments)
        self.builder.call(store, [value, at, I32(align), self.mask])

    def _function(self, name, result, arguments):
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def zero(self):
        return self.type([0.0] * self.lanes)

    def splat(self, x):
        """x in every lane."""
        shape = vector(x.type, self.lanes)
        one = self.builder.insert_element(ir.Constant(shape, ir.Undefined), x, I32(0))
        where = vector(I32, self.lanes)([0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(shape, ir.Undefined), where)

    def fma(self, a, b, c):
        """a b + c, rounded once."""
        name = f"llvm.fma.v{self.lanes}f32"
        return self.builder.call(self._function(name, self.type, [self.type] * 3), [a, b, c])

    def root(self, a):
        name = f"llvm.sqrt.v{self.lanes}f32"
        return self.builder.call(self._function(name, self.type, [self.type]), [a])

    def bits(self, flags):
        """(lanes,) i1 as an i32."""
        return self.builder.zext(self.builder.bitcast(flags, ir.IntType(self.lanes)), I32)

    def flags(self, bits):
        """An i32 as (lanes,) i1."""
        narrow = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(narrow, vector(I1, self.lanes))

    def shuffle(self, a, b, where):
        where = list(where)
        return self.builder.shuffle_vector(a, b, vector(I32, len(where))(where))

    def folded(self, v, parts):
        """(parts,) the sums over equal ranges of lanes."""
        lanes = v.type.count // parts
        while lanes > 1:
            even = [i for i in range(v.type.count) if i % 2 == 0]
            v = self.builder.fadd(
                self.shuffle(v, v, even), self.shuffle(v, v, [i + 1 for i in even])
            )
            lanes //= 2
        return v

    def total(self, v):
        """The sum over lanes: the two halves are added repeatedly until one lane is left."""
        lanes = v.type.count
        while lanes > 1:
            half = lanes // 2
            low = self.shuffle(v, v, list(range(half)))
            high = self.shuffle(v, v, list(range(half, 2 * half)))
            rest = self.builder.extract_element(v, I32(lanes - 1)) if lanes % 2 else None
            v = self.builder.fadd(low, high)
            if rest is not None:
                first = self.builder.fadd(self.builder.extract_element(v, I32(0)), rest)
                v = self.builder.insert_element(v, first, I32(0))
            lanes = half
        return self.builder.extract_element(v, I32(0))

    def four_totals(self, a, b, c, d):
        """(4,) the sums of four vectors, with fewer shuffles than four separate sums need."""
        quads = range(0, self.lanes, 4)
        other = self.lanes

        def folded(x, y, low, high):
            low = [q + at for q in quads for at in low]
            high = [q + at for q in quads for at in high]
            return self.builder.fadd(self.shuffle(x, y, low), self.shuffle(x, y, high))

        pairs = ((0, other, 1, other + 1), (2, other + 2, 3, other + 3))
        halves = ((0, 1, other, other + 1), (2, 3, other + 2, other + 3))
        v = folded(folded(a, b, *pairs), folded(c, d, *pairs), *halves)
        while v.type.count > 4:
            half = v.type.count // 2
            low = self.shuffle(v, v, list(range(half)))
            v = self.builder.fadd(low, self.shuffle(v, v, list(range(half, 2 * half))))
        return v

    def prefetch(self, kind, array, index, size, write=False):
        """Prefetch the cache lines of `size` bytes from array[index] on."""
        self.prefetch_at(self.pointer(kind, array, index, BYTE), write, size)

    def prefetch_at(self, place, write=False, size=1):
        """Prefetch the cache lines of `size` bytes from a pointer on."""
        at = self.builder.bitcast(place, BYTE.as_pointer())
        prefetch = self._function("llvm.prefetch.p0", ir.VoidType(), [at.type, I32, I32, I32])
        for offset in range(0, size, LINE):
            where = self.builder.gep(at, [I64(offset)]) if offset else at
            self.builder.call(prefetch, [where, I32(int(write)), I32(3), I32(1)])


class Lanes(types.Type):
    """The numba type of a SIMD vector of WIDTH float32 numbers."""

    def __init__(self):
        super().__init__(name=f"Lanes{WIDTH}")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, vector(FLOAT, WIDTH))


def operation(write):
    """The code generator of an intrinsic. `write` gets an `Emit` of WIDTH lanes and the arguments,
    and returns the result, or None for a store."""

    def code(context, builder, signature, args):
        found = write(Emit(context, builder, WIDTH), *args)
        return context.get_dummy_value() if signature.return_type == types.void else found

    return code


@intrinsic
def load(typing, A, i):
    """A[i : i + WIDTH]."""
    return lanes(A, types.int64), operation(lambda emit, a, i: emit.load(A, a, i))


@intrinsic
def load_some(typing, A, i, count):
    """A[i : i + count]; the remaining lanes are 0."""
    write = operation(lambda emit, a, i, count: emit.masked(count).load(A, a, i))
    return lanes(A, types.int64, types.int64), write


@intrinsic
def store(typing, A, i, v):
    """A[i : i + WIDTH] = v."""
    return types.void(A, types.int64, lanes), operation(lambda emit, *args: emit.store(A, *args))


@intrinsic
def store_some(typing, A, i, v, count):
    """A[i : i + count] = v."""
    write = operation(lambda emit, a, i, v, count: emit.masked(count).store(A, a, i, v))
    return types.void(A, types.int64, lanes, types.int64), write


def for_few(builder, count, emit):
    """Emit the code of each count from 1 to WIDTH, and a switch that runs the one for `count`."""
    end, last = (builder.append_basic_block(name) for name in ("end", "most"))
    switch = builder.switch(count, last)
    for lanes in range(1, WIDTH + 1):
        block = last if lanes == WIDTH else builder.append_basic_block(f"few{lanes}")
        if lanes < WIDTH:
            switch.add_case(I64(lanes), block)
        builder.position_at_end(block)
        emit(lanes)
        builder.branch(end)
    builder.position_at_end(end)


@intrinsic
def load_few(typing, A, i, count):
    """As `load_some`, for a count of at least 1, but reads no memory after these numbers. If
    another neuron's samples follow, a masked load would wait for the last store to them."""

    def write(emit, a, i, count):
        b = emit.builder
        slot = cgutils.alloca_once(b, emit.type)

        def lanes_of(lanes):
            v = Emit(emit.context, b, lanes).load(A, a, i)
            where = [min(lane, lanes) for lane in range(WIDTH)]
            b.store(emit.shuffle(v, v.type([0.0] * lanes), where), slot)

        for_few(b, count, lanes_of)
        return b.load(slot)

    return lanes(A, types.int64, types.int64), operation(write)


@intrinsic
def store_few(typing, A, i, v, count):
    """As `store_some`, for a count of at least 1, but touches no memory after these numbers."""

    def write(emit, a, i, v, count):
        def lanes_of(lanes):
            few = Emit(emit.context, emit.builder, lanes)
            few.store(A, a, i, emit.shuffle(v, v, range(lanes)))

        for_few(emit.builder, count, lanes_of)

    return types.void(A, types.int64, lanes, types.int64), operation(write)


@intrinsic
def splat(typing, x):
    """x in every lane."""
    return lanes(types.float32), operation(lambda emit, x: emit.splat(x))


@intrinsic
def fma(typing, a, b, c):
    """a b + c."""
    return lanes(lanes, lanes, lanes), operation(lambda emit, *args: emit.fma(*args))


@intrinsic
def add(typing, a, b):
    return lanes(lanes, lanes), operation(lambda emit, *args: emit.builder.fadd(*args))


@intrinsic
def multiply(typing, a, b):
    return lanes(lanes, lanes), operation(lambda emit, *args: emit.builder.fmul(*args))


@intrinsic
def divide(typing, a, b):
    return lanes(lanes, lanes), operation(lambda emit, *args: emit.builder.fdiv(*args))


@intrinsic
def root(typing, a):
    return lanes(lanes), operation(lambda emit, a: emit.root(a))


@intrinsic
def total(typing, v):
    """The sum over lanes."""
    return types.float32(lanes), operation(lambda emit, v: emit.total(v))


# --- flags: a bit per lane in an integer ----------------------------------------------


@intrinsic
def below_zero(typing, v):
    """An integer whose bit i is set if lane i is below zero."""
    write = operation(lambda emit, v: emit.bits(emit.builder.fcmp_ordered("<", v, emit.zero())))
    return types.uint32(lanes), write


@intrinsic
def choose(typing, bits, a, b):
    """a in lanes whose bit is set, b in others."""
    write = operation(lambda emit, bits, a, b: emit.builder.select(emit.flags(bits), a, b))
    return lanes(types.uint32, lanes, lanes), write


@intrinsic
def load_bits(typing, B, i):
    """WIDTH bits from byte i on."""

    def write(emit, b, i):
        bits = emit.builder.load(emit.pointer(B, b, i, FLAGS))
        bits.align = 1
        return emit.builder.zext(bits, I32)

    return types.uint32(B, types.int64), operation(write)


@intrinsic
def store_bits(typing, B, i, bits):
    def write(emit, b, i, bits):
        at = emit.pointer(B, b, i, FLAGS)
        emit.builder.store(emit.builder.trunc(bits, FLAGS), at).align = 1

    return types.void(B, types.int64, types.uint32), operation(write)


@intrinsic
def scaled(typing, v, below, kept, above_factor, below_factor):
    """v times below_factor in lanes where `below` is set, times above_factor in others, and 0 in
    lanes that are not in `kept`."""

    def write(emit, v, below, kept, above_factor, below_factor):
        select = emit.builder.select
        sign = emit.flags(below)
        factor = select(sign, emit.splat(below_factor), emit.splat(above_factor))
        return emit.builder.fmul(v, select(emit.flags(kept), factor, emit.zero()))

    f = types.float32
    return lanes(lanes, types.uint32, types.uint32, f, f), operation(write)


@intrinsic
def kept_bits(typing, row, n, threshold):
    """An integer whose bit i is set if dropout keeps sample n + i of a neuron; see
    `sparsebench.core.nn.dropout`.

    row  mix(step key + k GOLDEN) of the neuron k
    """

    def write(emit, row, n, threshold):
        b, golden = emit.builder, 0x9E3779B9
        steps = vector(I32, WIDTH)([i * golden & 0xFFFFFFFF for i in range(WIDTH)])
        start = b.add(row, b.mul(b.trunc(n, I32), I32(golden)))
        x = b.add(emit.splat(start), steps)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            x = b.mul(b.xor(x, b.lshr(x, emit.whole(shift))), emit.whole(factor))
        return emit.bits(b.icmp_unsigned(">=", x, emit.splat(threshold)))

    return types.uint32(types.uint32, types.int64, types.uint32), operation(write)
