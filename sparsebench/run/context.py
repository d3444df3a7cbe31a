"""What the parts of a run share: its suite, who runs its processes, and who is told."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.core.job import Job
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.executor import Executor, Handle
from sparsebench.run.options import Listener, Options
from sparsebench.run.signals import Signals
from sparsebench.suite.suite import Suite

PERIOD = 0.05


@dataclass(frozen=True)
class Context:
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
        """The outcomes of jobs that run at once, with nothing else beside them; `on_wait` is called
        with the handles of those that have not ended, again and again."""
        handles = [self.submit(job) for job in jobs]
        while waiting := [handle for handle in handles if handle.poll() is None]:
            on_wait(waiting)
            self.listener.waiting()
            wait(waiting)
        return [outcome for handle in handles if (outcome := handle.poll()) is not None]


def wait(handles: Sequence[Handle]) -> None:
    """Until one of them may have ended, but not for long: there is memory to watch."""
    watched = [number for handle in handles if (number := _fileno(handle)) >= 0]
    if not watched:
        time.sleep(PERIOD if handles else 0)
        return
    ended = select.poll()
    for number in watched:
        ended.register(number, select.POLLIN)
    ended.poll(1000 * PERIOD)


def _fileno(handle: Handle) -> int:
    ask = getattr(handle, "fileno", None)
    return int(ask()) if ask is not None else -1
