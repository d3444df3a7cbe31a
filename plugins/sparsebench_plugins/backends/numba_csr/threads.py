"""Parallel loops of kernels, and how many threads one uses: a single one, if waking another would
take longer than the work.

The decision is made in kernels, where it takes nanoseconds; from Python it would take several
microseconds. No result depends on the number of threads.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

WORTH_THREADS = 250_000
"""More than one thread is used from this number of multiply-adds on. A thread does 4 to 10 of them
in a nanosecond, so they take some 50 us; waking a passively waiting thread takes 10 to 20 us."""

MOVE = 5
"""Moving one number from or to a random position takes as long as this many multiply-adds."""

# numba's own get_num_threads and set_num_threads are ctypes pointers, with which no kernel can be
# cached. These are the C functions behind them, by name.
get_threads = types.ExternalFunction("get_num_threads", types.intc())
set_threads = types.ExternalFunction("set_num_threads", types.void(types.intc))


def start_threads():
    """Start numba's threads, so that the linker knows the C functions above. Called whenever a
    compiled loop is made, or loaded from a cache."""
    numba.get_num_threads()


def threads_for(work):
    """Set the number of threads to one if `work` multiply-adds are too few for more. Returns the
    previous number, for `restore_threads`. (This version is for plain Python, which has one
    thread.)"""
    return 1


def restore_threads(before):
    """Restore the number of threads from before `threads_for`."""


def in_parallel(piece):
    """Turn a function piece(i, ...) into a loop for kernels: loop(count, (...)) calls it for each i
    below `count`, and numba's threads share the calls.

    piece  compiled without a cache of its own

    Numba's `prange` does the same, but then compiles the body of the loop four times: alone, in the
    loop, in the code that starts the loop, and in the kernel. Here it is compiled twice: alone and
    in the kernel.
    """

    def loop(count, given):
        for i in range(count):
            piece(i, *given)

    return loop if numba.config.DISABLE_JIT else _in_threads(piece)


@overload(threads_for)
def _threads_for(work):
    start_threads()

    def threads_for(work):
        before = get_threads()
        if work < WORTH_THREADS:
            set_threads(1)
        return before

    return threads_for


@overload(restore_threads)
def _threads_again(before):
    def restore_threads(before):
        set_threads(before)

    return restore_threads


I64, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
PART = ir.FunctionType(
    ir.VoidType(), [POINTER.as_pointer(), I64.as_pointer(), I64.as_pointer(), POINTER]
)
"""The type of the function that numba's threads call, which is that of a gufunc's inner loop:
void(args, dimensions, steps, data)."""


def _in_threads(piece):
    @intrinsic
    def in_threads(typing, count, given):
        taken = (types.int64, *(types.unliteral(kind) for kind in given.types))
        return types.void(types.int64, given), _code(piece, taken)

    return in_threads


def _code(piece, taken):
    """The function that emits the call of the loop.

    taken  numba types of the arguments of `piece`
    """

    def code(context, builder, signature, args):
        start_threads()
        context.active_code_library._reload_init.add(start_threads)
        compiled = piece.get_compile_result(types.void(*taken))
        context.add_linking_libs([compiled.library])
        b = builder
        values = [
            context.cast(b, b.extract_value(args[1], i), kind, taken[i + 1])
            for i, kind in enumerate(signature.args[1].types)
        ]
        threads = b.sext(b.call(_function(b, "get_num_threads", ir.IntType(32)), []), I64)
        alone = b.or_(b.icmp_signed("<=", threads, I64(1)), b.icmp_signed("<=", args[0], I64(1)))
        threads = b.select(alone, I64(1), threads)
        shared = _stored(b, [I64(0), args[0], threads, *values])
        part = _part(context, b.module, compiled, shared.type, len(values))
        parts, step = _stored(b, [threads]), _stored(b, [I64(1)])
        first = _stored(b, [POINTER(None)])
        places = [b.bitcast(place, POINTER) for place in (first, parts, step, shared)]
        python = context.get_python_api(b)
        held = python.gil_ensure()
        state = python.save_thread()
        with b.if_else(alone) as (here, everywhere):
            with here:
                arguments = zip(places, PART.args, strict=True)
                b.call(part, [b.bitcast(place, kind) for place, kind in arguments])
            with everywhere:
                share = _function(b, "numba_parallel_for", None, *[POINTER] * 5, *[I64] * 3)
                loop = b.bitcast(part, POINTER)
                b.call(share, [loop, *places, I64(0), I64(1), threads])
        python.restore_thread(state)
        python.gil_release(held)
        failed = b.load(b.gep(shared, [ir.IntType(32)(0)] * 2))
        with cgutils.if_unlikely(b, b.icmp_signed("!=", failed, I64(0))):
            context.call_conv.return_user_exc(b, MemoryError, ("in a part of a parallel loop",))
        return context.get_dummy_value()

    return code


def _stored(builder, values):
    """A structure of these values on the stack."""
    made = cgutils.alloca_once(builder, ir.LiteralStructType([value.type for value in values]))
    for i, value in enumerate(values):
        builder.store(value, builder.gep(made, [ir.IntType(32)(0), ir.IntType(32)(i)]))
    return made


def _function(builder, name, result, *arguments):
    kind = ir.FunctionType(result or ir.VoidType(), arguments)
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _part(context, module, compiled, shared, count):
    """Emit the function, of type PART, that a thread calls. The loop has as many equal parts as
    there are threads; one call runs some consecutive parts.

    args[0], read as a number, is the first part, and dimensions[0] is the number of parts. data
    points to a structure: whether any part failed, the loop's count, the number of threads, and the
    arguments of `piece`.
    """
    function = ir.Function(module, PART, name=module.get_unique_name("part"))
    function.linkage = "internal"
    b = ir.IRBuilder(function.append_basic_block())
    numbers, dimensions, _, data = function.args
    data = b.bitcast(data, shared)
    places = [b.gep(data, [ir.IntType(32)(0), ir.IntType(32)(i)]) for i in range(3 + count)]
    _, total, threads, *values = (b.load(place) for place in places)
    first = b.ptrtoint(b.load(numbers), I64)
    start, stop = (
        b.sdiv(b.mul(part, total), threads) for part in (first, b.add(first, b.load(dimensions)))
    )
    callee = context.declare_function(module, compiled.fndesc)
    with cgutils.for_range_slice(b, start, stop, I64(1)) as (i, _):
        status, _ = context.call_conv.call_function(
            b, callee, compiled.signature.return_type, compiled.signature.args, [i, *values]
        )
        with cgutils.if_unlikely(b, status.is_error):
            b.store(I64(1), places[0])
    b.ret_void()
    return function
