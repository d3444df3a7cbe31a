"""Waiting for messages without keeping a core from the process that is to send them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

YIELDS = 20
"""Looks that only offer the core to others, before the first sleep."""

LONGEST = 100e-6
"""Seconds of a sleep at most: about what a wake-up takes anyway."""


PATIENT = 5e-3
"""The same where minutes are waited."""


def until(done: Callable[[], bool], longest: float = LONGEST) -> float:
    """Look again and again, with pauses that grow to `longest` seconds; seconds that passed.

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
    """Whether all of these are; each is tested, because a test is what moves a message on."""
    return not [request for request in requests if not request.Test()]
