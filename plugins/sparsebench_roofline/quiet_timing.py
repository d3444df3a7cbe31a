"""Timings during which no thread lost its core."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

MOST_TRIES = 12
MOST_SECONDS = 0.3
"""Limits of the retries; on a busy machine a long timing is always interrupted."""


BUSY = 0.8
"""Share of wall time that each thread of a parallel region must be running."""


def quietest(timing: Callable[[], float], threads: int = 0) -> tuple[float, bool]:
    """The result of timing(), in seconds, and whether the process ran without interruption.

    It is repeated while a thread of the process loses its core, because one delayed thread holds up
    its whole parallel region. The first undisturbed timing counts, otherwise the shortest.

    threads  number of threads that should be running all the time; 0 if unknown
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
    """How often threads of this process had to give up their core since its start."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
