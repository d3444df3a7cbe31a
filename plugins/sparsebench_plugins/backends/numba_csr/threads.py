"""How many threads a parallel region uses: one, if waking another would take longer than the work.

Kernels decide, because there it takes nanoseconds, and several microseconds from Python. No
result depends on the number of threads.
"""

from __future__ import annotations

import numba
from numba import types
from numba.extending import overload

WORTH_THREADS = 250_000
"""Multiply-adds from which on more than one thread pays. A thread does 4 to 10 of them in a
nanosecond, so these take some 50 us; waking a thread that waits passively takes 10 to 20."""

MOVE = 5
"""Multiply-adds that take as long as moving one number from or to a random place."""

# numba's own get_num_threads and set_num_threads are ctypes pointers, with which no kernel can be
# cached. These are the C functions behind them, by name.
get_threads = types.ExternalFunction("get_num_threads", types.intc())
set_threads = types.ExternalFunction("set_num_threads", types.void(types.intc))


def threads_for(work):
    """Set one thread where `work` multiply-adds are not worth more. Returns the number there was,
    for `threads_again`. Plain Python, which runs this, has one thread."""
    return 1


def threads_again(before):
    """Set the number of threads that there was before `threads_for`."""


@overload(threads_for)
def _threads_for(work):
    numba.get_num_threads()  # starts the pool, and with it the linker knows the C functions

    def threads_for(work):
        before = get_threads()
        if work < WORTH_THREADS:
            set_threads(1)
        return before

    return threads_for


@overload(threads_again)
def _threads_again(before):
    def threads_again(before):
        set_threads(before)

    return threads_again
