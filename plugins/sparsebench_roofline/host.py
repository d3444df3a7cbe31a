"""Properties of this machine: cache sizes from sysfs, and timings without interruption."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN_LAST = 64 * 2**20
"""Assumed size of the last cache, in bytes, if sysfs has none."""

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def caches(folder: Path = FOLDER) -> list[tuple[str, int]]:
    """(name, bytes) of each level that holds data, the nearest first; empty if unknown."""
    found = {}
    for entry in sorted(folder.glob("index*")):
        try:
            kind, number, size = (
                (entry / name).read_text().strip() for name in ("type", "level", "size")
            )
            if kind != "Instruction":
                found[int(number)] = int(size.rstrip("KMG")) * UNITS.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
    return [(f"L{number}", size) for number, size in sorted(found.items())]


def last_cache(known: list[tuple[str, int]]) -> int:
    """Bytes of the last cache."""
    return known[-1][1] if known else UNKNOWN_LAST


MOST_TRIES = 12
MOST_SECONDS = 0.3
"""Limits of the retries; on a busy machine a long timing is always interrupted."""


BUSY = 0.8
"""Share of wall time that each thread of a parallel region must be running."""


def quietest(timing: Callable[[], float], threads: int = 0) -> tuple[float, bool]:
    """The result of `timing`, in seconds, and whether the process ran without interruption.

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
    """How often a thread of this process had to give up its core."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
