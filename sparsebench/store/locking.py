"""The lock of a store: two runs look and begin one after the other, for a moment each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsebench.store.names import LOCK

PATIENCE = 10.0
"""Seconds to wait for a lock; its holder needs milliseconds, unless it was stopped."""


class StoreLock:
    """Reentrant, for processes and threads of this machine.

    Who cannot have it goes on without: making a folder has one winner anyway, so all that is lost
    is that two runs may do the same trial. That is so where the file system has no locks, and
    where the holder was stopped in the middle.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / LOCK
        self._lock: Any = None

    @contextlib.contextmanager
    def held(self, patience: float = PATIENCE) -> Iterator[bool]:
        """Whether it is. OSError if its file cannot be made."""
        import filelock

        if self._lock is None:
            self._lock = filelock.FileLock(self._file, mode=0o644)
        try:
            self._lock.acquire(timeout=patience, poll_interval=0.02)
        except (filelock.Timeout, NotImplementedError):
            yield False
            return
        try:
            yield True
        finally:
            self._lock.release()
