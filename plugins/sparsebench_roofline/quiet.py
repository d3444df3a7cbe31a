"""Timings that nobody interrupted, where there is a chance of any."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

MOST_TRIES = 12
MOST_SECONDS = 0.3
"""Together: a timing that takes long is always interrupted on a busy machine."""


BUSY = 0.8
"""Of the threads' time that a parallel region of equal parts keeps them at work."""


def quietest(timing: Callable[[], float], threads: int = 0) -> tuple[float, bool]:
    """Seconds that `timing` gives, and whether it was left alone.

    It is tried again while the process was made to wait for a core.
    A thread that is put off its core, or gets none in time, holds up all others of a parallel
    region. The first try without that counts; if there is none, the shortest.

    threads  that are at work all the time, where that is known
    """
    tries: list[float] = []
    began = time.perf_counter()
    while len(tries) < MOST_TRIES and (not tries or time.perf_counter() - began < MOST_SECONDS):
        before, at_work = interruptions(), time.process_time()
        took = timing()
        idle = time.process_time() - at_work < BUSY * threads * took
        if interruptions() == before and not idle:
            return took, True
        tries.append(took)
    return min(tries), False


def interruptions() -> int:
    """How often a thread of this process had to leave its core to another."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
