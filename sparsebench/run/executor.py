"""The protocol of executors, which run trials, and of the handles of running trials."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sparsebench.core.job import Job
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.memory_trace import SAMPLE_SECONDS
from sparsebench.run.options import Listener, Options
from sparsebench.run.signals import Signals
from sparsebench.suite.suite import Suite


class Handle(Protocol):
    """A running trial. A handle may also have a method `fileno`, which returns a file descriptor
    that becomes readable once the trial has ended."""

    def poll(self) -> Mapping[str, Any] | None:
        """The outcome of the trial (see `store.record`) once it has ended, else None. Never
        blocks."""

    def progress(self) -> Mapping[str, Any]:
        """The latest of epoch, epochs, step, steps, loss, accuracy, rss_bytes; may be empty."""

    def stop(self, kill: bool = False) -> None:
        """Ask the trial to end (TERM) or kill it (KILL). `poll` then returns its outcome."""


class Executor(Protocol):
    """Runs trials, up to `slots` at the same time. An executor may also define:

    shares_machine  True if its slots are on this machine and share its cores and memory
    many_machines   True if trials run on several machines, so that each compiles kernels itself
    room() -> int   most trials that may run now, if that changes; used instead of `slots`
    lost: str       why no more trials can run; empty while they can
    address         a parameter of its constructor: the address of its scheduler
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
        """Run jobs at the same time and return their outcomes. `on_wait` is called repeatedly with
        the handles of the jobs that are still running."""
        handles = [self.submit(job) for job in jobs]
        while waiting := [handle for handle in handles if handle.poll() is None]:
            on_wait(waiting)
            self.listener.waiting()
            wait(waiting)
        return [outcome for handle in handles if (outcome := handle.poll()) is not None]


def wait(handles: Sequence[Handle]) -> None:
    """Wait until one of the trials may have ended, for at most `SAMPLE_SECONDS`, after which their
    memory is sampled again. Returns at once without trials."""
    files = [handle.fileno() for handle in handles if hasattr(handle, "fileno")]
    ended = select.poll()
    for number in files:
        if number >= 0:
            ended.register(number, select.POLLIN)
    if any(number >= 0 for number in files):
        ended.poll(1000 * SAMPLE_SECONDS)
    else:
        time.sleep(SAMPLE_SECONDS if handles else 0)
