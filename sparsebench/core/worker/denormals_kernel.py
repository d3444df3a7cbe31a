"""A kernel that tests denormals in every thread of numba."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]

ROUNDS = 100
"""The most attempts to reach every thread, since a threading layer with work stealing may leave one
out."""


def numba_threads_flush() -> bool:
    """Whether each thread of numba treats denormals as zero and makes none; False if one was not
    reached."""
    threads = get_num_threads()
    tiny = np.full(threads, np.finfo(np.float32).tiny)
    denormal = (tiny.view(np.uint32) >> np.uint32(1)).view(np.float32)
    found = np.full((threads, 2), np.nan, dtype=np.float32)
    for _ in range(ROUNDS):
        try_denormals(tiny, denormal, found)
        if not np.isnan(found).any():
            break
    return not found.any()  # a thread that was not reached is no zero


@njit(cache=True, parallel=True)
def try_denormals(tiny, denormal, found):  # type: ignore[no-untyped-def]
    """found[thread] = (half the smallest normal number, a denormal number times 2^60), as the
    thread computes them: both are 0 if it treats denormals as zero.

    tiny, denormal (threads,)  the two numbers        found (threads, 2)
    """
    for i in prange(tiny.size):
        thread = get_thread_id()
        found[thread, 0] = tiny[i] * np.float32(0.5)
        found[thread, 1] = denormal[i] * np.float32(2.0**60)
