"""Counts Ctrl-C and similar signals, so that a loop can check for them."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """A context manager. Inside its block, the `WATCHED` signals are counted and have no other
    effect.

    count  number of signals so far
    first  number of the first signal; None if there was none

    Handlers are set explicitly, because a process started in the background may inherit SIGINT as
    ignored. A SIGHUP that was inherited as ignored stays ignored, for `nohup`. Outside of the main
    thread, which alone can set handlers, nothing is watched.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._note)
            # a SIGCHLD inherited as ignored would have the kernel reap our trials
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @property
    def exit_code(self) -> int | None:
        """The exit code of an interrupted run: 130 if SIGINT came first, else 143; None if no
        signal came."""
        if self.first is None:
            return None
        return 130 if self.first == signal.SIGINT else 143

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.first is None:
            self.first = number
