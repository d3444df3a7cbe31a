"""Timers by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timers:
    """Accumulates seconds by name until `take` returns and resets them.

    Timers may be nested: the inner seconds do not count for the outer name.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        outer, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.add(name, taken - self._inner)
            self._inner = outer + taken

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def so_far(self) -> dict[str, float]:
        return dict(self._seconds)

    def take(self) -> dict[str, float]:
        taken, self._seconds = self._seconds, {}
        return taken
