"""Waiting for messages without occupying a core that the sender may need."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

YIELDS = 20
"""Polls that only yield the core, before the first sleep."""

LONGEST = 100e-6
"""Seconds of a sleep at most: about what a wake-up takes anyway."""


PATIENT = 5e-3
"""The same for waits of minutes."""


def until(done: Callable[[], bool], longest: float = LONGEST) -> float:
    """Poll with pauses that grow to `longest` seconds. Returns the seconds waited.

    A blocking receive of MPI spins, and takes the core of a worker where there are more
    processes than cores.
    """
    start = time.perf_counter()
    looks, pause = 0, 1e-6
    while not done():
        looks += 1
        if looks <= YIELDS:
            os.sched_yield()
        else:
            time.sleep(pause)
            pause = min(longest, 2 * pause)
    return time.perf_counter() - start


def complete(requests: Sequence[Any]) -> bool:
    """Whether all requests are complete. Tests each one, because MPI progresses in Test."""
    return not [request for request in requests if not request.Test()]
