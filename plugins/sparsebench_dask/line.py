"""On a worker: the line between a trial and its caller, over events of the scheduler.

The caller's wish to stop is looked for once a second without waiting for the answer, as there is
memory to watch. The scheduler remembers who began: a trial that Dask starts again, after its
worker is gone, is told so and does not run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from distributed import Worker, get_worker
from distributed.utils import sync

PERIOD = 1.0
"""Seconds between two messages either way."""

PATIENCE = 60.0
"""Seconds for the scheduler to answer before the trial begins."""

NOT_ASKED, TERM, KILL = 0, 1, 2

GONE = ("closing", "closed", "failed")


class Line:
    """Of one trial, in the thread that runs it.

    token  the trial's topic: who began it, and whether it is to stop
    topic  of the caller's run: progress
    """

    def __init__(self, token: str, topic: str) -> None:
        self._worker: Worker = get_worker()
        self._key = self._worker.get_current_task()
        self._token, self._topic = token, topic
        self._asking: Future[Any] | None = None
        self._asked_at = self._told_at = time.monotonic()
        self._wish = NOT_ASKED

    @property
    def name(self) -> str:
        """Of the worker, with its address where that says more."""
        name, address = str(self._worker.name), str(self._worker.address)
        return name if name == address else f"{name} ({address})"

    @property
    def address(self) -> str:
        return str(self._worker.address)

    @property
    def folder(self) -> str:
        """The worker's own, on its disk."""
        return str(self._worker.local_directory)

    def begin(self) -> str:
        """Take the trial; the name of the worker that had it before, if one had."""
        events = self._call(self._worker.scheduler.events, topic=self._token)
        for _, message in events or ():
            if message["what"] == "began":
                return str(message["worker"])
        message = {"what": "began", "token": self._token, "worker": self.name}
        message["address"] = self.address
        for topic in (self._token, self._topic):
            self._call(self._worker.scheduler.log_event, topic=topic, msg=message)
        return ""

    def wish(self) -> int:
        """NOT_ASKED, TERM or KILL, as last heard. KILL if nobody waits for the trial any more."""
        if self._unwanted():
            return KILL
        if self._asking is not None and self._asking.done():
            if self._asking.exception() is None:
                self._hear(self._asking.result())
            self._asking = None
        elif self._asking is None and time.monotonic() - self._asked_at >= PERIOD:
            self._asked_at = time.monotonic()
            self._asking = asyncio.run_coroutine_threadsafe(
                self._worker.scheduler.events(topic=self._token), self._loop
            )
        return self._wish

    def may_tell(self) -> bool:
        return time.monotonic() - self._told_at >= PERIOD

    def tell(self, progress: Mapping[str, Any]) -> None:
        self._told_at = time.monotonic()
        message = {"what": "progress", "token": self._token, "progress": dict(progress)}
        self._worker.log_event(self._topic, message)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = self._worker.loop.asyncio_loop
        return loop

    def _call(self, function: Any, **given: Any) -> Any:
        return sync(self._worker.loop, function, callback_timeout=PATIENCE, **given)

    def _hear(self, events: Any) -> None:
        for _, message in events or ():
            if message["what"] == "stop":
                self._wish = max(self._wish, KILL if message["kill"] else TERM)

    def _unwanted(self) -> bool:
        """The caller is gone or has given it up, or the worker ends."""
        task = self._worker.state.tasks.get(self._key)
        released = task is None or task.state == "cancelled"
        return released or self._worker.status.name in GONE
