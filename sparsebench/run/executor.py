"""Where trials run: the executor's protocol, and waiting for the trials that it has under way."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sparsebench.core.job import Job
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.options import Listener, Options
from sparsebench.run.signals import Signals
from sparsebench.suite.suite import Suite

PERIOD = 0.05
"""Seconds that `wait` takes at most."""


class Handle(Protocol):
    """A trial under way. It may also have a `fileno` that is readable once the trial has ended."""

    def poll(self) -> Mapping[str, Any] | None:
        """Its outcome (see `store.record`) once it has ended, else None. Never blocks."""

    def progress(self) -> Mapping[str, Any]:
        """The latest of epoch, epochs, step, steps, loss, accuracy, rss_bytes; may be empty."""

    def stop(self, kill: bool = False) -> None:
        """Ask the trial to end (TERM), or end it (KILL). `poll` then gives its outcome."""


class Executor(Protocol):
    """Runs trials, up to `slots` at once. An executor may also define:

    shares_machine  its places are on this machine, whose cores and memory they divide
    many_machines   kernels are compiled where they run, and no machine is timed for all
    room() -> int   trials that may be under way now, where that changes; instead of `slots`
    lost: str       why nothing more can run; empty while it can
    address         a parameter: where its cluster is reached
    """

    slots: int

    def submit(self, job: Job) -> Handle: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Context:
    """Everything that the parts of a run share."""

    suite: Suite
    plugins: Plugins
    options: Options
    listener: Listener
    executor: Executor
    signals: Signals

    def submit(self, job: Job) -> Handle:
        try:
            return self.executor.submit(job)
        except OSError as error:
            reason = error.strerror or str(error)
            raise SparsebenchError(
                f"executor {self.options.executor!r} cannot start a trial: {reason}"
            ) from error

    def run_to_end(
        self, jobs: Sequence[Job], on_wait: Callable[[Sequence[Handle]], None]
    ) -> list[Mapping[str, Any]]:
        """Run jobs at once and return their outcomes; `on_wait` is called again and again with the
        handles of those that have not ended."""
        handles = [self.submit(job) for job in jobs]
        while waiting := [handle for handle in handles if handle.poll() is None]:
            on_wait(waiting)
            self.listener.waiting()
            wait(waiting)
        return [outcome for handle in handles if (outcome := handle.poll()) is not None]


def wait(handles: Sequence[Handle]) -> None:
    """Wait until one of the trials may have ended, `PERIOD` at most: their memory is watched."""
    files = [handle.fileno() for handle in handles if hasattr(handle, "fileno")]
    ended = select.poll()
    for number in files:
        if number >= 0:
            ended.register(number, select.POLLIN)
    if any(number >= 0 for number in files):
        ended.poll(1000 * PERIOD)
    else:
        time.sleep(PERIOD if handles else 0)
