"""A kernel that tests denormals in every thread of numba."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]

ROUNDS = 100
"""Attempts to reach every thread, since a work-stealing layer may leave one out."""


def numba_threads_flush() -> bool:
    """Whether each thread of numba treats denormals as zero and makes none."""
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
    """found[thread] = what it makes of half the smallest number, and of a denormal twice.

    tiny, denormal (threads,)    found (threads, 2)
    """
    for i in prange(tiny.size):
        thread = get_thread_id()
        found[thread, 0] = tiny[i] * np.float32(0.5)
        found[thread, 1] = denormal[i] * np.float32(2.0**60)
