"""A worker's link to the caller of a trial, over event topics of the scheduler.

Requests to stop are polled once a second without blocking, because the worker also watches
memory. The scheduler remembers which worker began a trial: if Dask restarts it after that worker
died, `begin` says so and the trial does not run again.
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

NONE, TERM, KILL = 0, 1, 2

GONE = ("closing", "closed", "failed")


class WorkerLink:
    """Belongs to one trial and the thread that runs it.

    token  topic of the trial: which worker began it, and requests to stop
    topic  topic of the caller's run: progress
    """

    def __init__(self, token: str, topic: str) -> None:
        self._worker: Worker = get_worker()
        self._key = self._worker.get_current_task()
        self._token, self._topic = token, topic
        self._poll: Future[Any] | None = None
        self._polled_at = self._reported_at = time.monotonic()
        self._requested = NONE

    @property
    def name(self) -> str:
        """The worker's name, with its address if they differ."""
        name, address = str(self._worker.name), str(self._worker.address)
        return name if name == address else f"{name} ({address})"

    @property
    def address(self) -> str:
        return str(self._worker.address)

    @property
    def folder(self) -> str:
        """The worker's local directory."""
        return str(self._worker.local_directory)

    def begin(self) -> str:
        """Announce that this worker runs the trial. Returns who began it earlier, or ''."""
        events = self._call(self._worker.scheduler.events, topic=self._token)
        for _, message in events or ():
            if message["what"] == "began":
                return str(message["worker"])
        message = {"what": "began", "token": self._token, "worker": self.name}
        message["address"] = self.address
        for topic in (self._token, self._topic):
            self._call(self._worker.scheduler.log_event, topic=topic, msg=message)
        return ""

    def stop_request(self) -> int:
        """NONE, TERM or KILL, as of the last poll; KILL if the caller gave the trial up."""
        if self._unwanted():
            return KILL
        if self._poll is not None and self._poll.done():
            if self._poll.exception() is None:
                self._read(self._poll.result())
            self._poll = None
        elif self._poll is None and time.monotonic() - self._polled_at >= PERIOD:
            self._polled_at = time.monotonic()
            self._poll = asyncio.run_coroutine_threadsafe(
                self._worker.scheduler.events(topic=self._token), self._loop
            )
        return self._requested

    def report_due(self) -> bool:
        return time.monotonic() - self._reported_at >= PERIOD

    def report(self, progress: Mapping[str, Any]) -> None:
        self._reported_at = time.monotonic()
        message = {"what": "progress", "token": self._token, "progress": dict(progress)}
        self._worker.log_event(self._topic, message)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = self._worker.loop.asyncio_loop
        return loop

    def _call(self, function: Any, **given: Any) -> Any:
        return sync(self._worker.loop, function, callback_timeout=PATIENCE, **given)

    def _read(self, events: Any) -> None:
        for _, message in events or ():
            if message["what"] == "stop":
                self._requested = max(self._requested, KILL if message["kill"] else TERM)

    def _unwanted(self) -> bool:
        """Whether the caller cancelled the trial or disconnected, or the worker is closing."""
        task = self._worker.state.tasks.get(self._key)
        released = task is None or task.state == "cancelled"
        return released or self._worker.status.name in GONE
