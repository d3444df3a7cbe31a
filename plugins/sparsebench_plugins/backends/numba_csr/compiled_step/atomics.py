"""Atomic operations, arrays at an address, and system calls for waiting, for numba code."""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

I32, I64 = ir.IntType(32), ir.IntType(64)

HAS_PAUSE = platform.machine() in ("x86_64", "AMD64")
HAS_FUTEX = sys.platform == "linux"

NAP = 50
"""Microseconds of the first nap on systems without futex; each next one is twice as long, up to 3
ms."""


@intrinsic
def array_at(typing, address, size, dtype):
    """The (size,) array of this dtype that begins at the address. As `numba.carray` makes it, in a
    tenth of its time to compile."""
    kind = types.Array(getattr(dtype, "dtype", dtype), 1, "C")

    def code(context, builder, signature, args):
        array = arrayobj.make_array(kind)(context, builder)
        item = I64(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        data = builder.inttoptr(args[0], context.get_data_type(kind.dtype).as_pointer())
        arrayobj.populate_array(
            array, data=data, shape=[args[1]], strides=[item], itemsize=item, meminfo=None
        )
        return array._getvalue()

    return kind(types.int64, types.int64, dtype), code


@intrinsic
def call(typing, function, a, b, c):
    """Call the C function at an address: void(int64, int64, int64)."""

    def code(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [I64] * 3).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code


def _at(builder, address):
    return builder.inttoptr(address, I64.as_pointer())


@intrinsic
def load(typing, address):
    """The int64 at an address. `load`, `store` and `add` are sequentially consistent."""

    def code(context, builder, signature, args):
        return builder.load_atomic(_at(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), code


@intrinsic
def store(typing, address, value):
    def code(context, builder, signature, args):
        builder.store_atomic(args[1], _at(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def add(typing, address, value):
    """Add to the int64 at an address and return what it was before."""

    def code(context, builder, signature, args):
        return builder.atomic_rmw("add", _at(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@intrinsic
def pause(typing):
    """Tell the processor that this is a waiting loop, if it has an instruction for that."""

    def code(context, builder, signature, args):
        if HAS_PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), code


sched_yield = types.ExternalFunction("sched_yield", types.int32())
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))
_syscall = types.ExternalFunction("syscall", types.int64(*[types.int64] * 7))
_usleep = types.ExternalFunction("usleep", types.int32(types.uint32))

_MONOTONIC = 6 if sys.platform == "darwin" else 1
_FUTEX = 98 if platform.machine() == "aarch64" else 202
_WAIT, _WAKE = 128, 129
"""FUTEX_WAIT and FUTEX_WAKE, private to this process."""


@njit(nogil=True)
def nanoseconds(room):
    """The time of a monotonic clock.

    room  address of 16 bytes that this thread may write
    """
    _clock_gettime(_MONOTONIC, room)
    parts = array_at(room, 2, types.int64)
    return parts[0] * 1_000_000_000 + parts[1]


@njit(nogil=True)
def sleep_while(address, value):
    """Sleep until `wake` is called for this address. Returns at once if the 32 bits there are not
    `value`. Linux only."""
    _syscall(_FUTEX, address, _WAIT, value, 0, 0, 0)


@njit(nogil=True)
def wake(address):
    """Wake all threads that sleep at an address. Linux only."""
    _syscall(_FUTEX, address, _WAKE, 1 << 30, 0, 0, 0)


@njit(nogil=True)
def nap(times):
    """Sleep briefly; the sleep gets longer with `times`, the number of naps in a row."""
    _usleep(NAP << min(times, 6))
