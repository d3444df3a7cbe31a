"""Decides how many threads a parallel region uses: one, if waking another would take longer than
the work.

The decision is made in kernels, where it takes nanoseconds; from Python it would take several
microseconds. No result depends on the number of threads.
"""

from __future__ import annotations

import numba
from numba import types
from numba.extending import overload

WORTH_THREADS = 250_000
"""More than one thread is used from this number of multiply-adds on. A thread does 4 to 10 of them
in a nanosecond, so they take some 50 us; waking a passively waiting thread takes 10 to 20 us."""

MOVE = 5
"""Moving one number from or to a random position takes as long as this many multiply-adds."""

# numba's own get_num_threads and set_num_threads are ctypes pointers, with which no kernel can be
# cached. These are the C functions behind them, by name.
get_threads = types.ExternalFunction("get_num_threads", types.intc())
set_threads = types.ExternalFunction("set_num_threads", types.void(types.intc))


def threads_for(work):
    """Set the number of threads to one if `work` multiply-adds are too few for more. Returns the
    previous number, for `threads_again`. (This version is for plain Python, which has one
    thread.)"""
    return 1


def threads_again(before):
    """Restore the number of threads from before `threads_for`."""


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
