"""Worker processes forked from the trial's process; commands and answers go through pipes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsebench.core.training.work import Work
from sparsebench.core.worker.classify import ProcessEnded, signal_name
from sparsebench.errors import Unsupported
from sparsebench_parallel.hogwild.shared_state import SharedLayout, SharedMemory, SharedState
from sparsebench_parallel.hogwild.worker import serve

PERIOD = 0.2
"""Seconds between two reports of progress within a round."""

RAISED_AS = {"MemoryError": MemoryError, "Unsupported": Unsupported}
"""Errors of a worker that the parent raises again as the same type, so that the trial gets the
status that the error has in a trial of one process."""


class WorkerError(Exception):
    """A worker failed; the message begins with its name."""


@dataclass(eq=False)
class WorkerHandle:
    """The parent's handle of a worker: its pid and the ends of its pipes."""

    number: int
    pid: int
    orders: int
    answers: int
    received: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        return f"worker {self.number + 1}"

    def send(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended; `receive` raises why
            os.write(self.orders, (json.dumps(order) + "\n").encode())

    def receive(self) -> dict[str, Any] | None:
        """Its answer once complete, else None. Raises the error that the worker reports."""
        part = os.read(self.answers, 1 << 16)
        if not part:
            raise self._ended()
        self.received += part
        if not self.received.endswith(b"\n"):
            return None
        answer: dict[str, Any] = json.loads(self.received)
        self.received = b""
        if "error" in answer:
            self._raise(answer["error"], answer["message"])
        return answer

    def _raise(self, kind: str, message: str) -> None:
        text = f"{self.name}: {message}"
        if kind in RAISED_AS:
            raise RAISED_AS[kind](text)
        raise WorkerError(f"{self.name}: {kind}: {message}".rstrip(": "))

    def _ended(self) -> ProcessEnded:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        how = f"ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return ProcessEnded(f"{self.name}: {how}", code)


class WorkerPool:
    """A trial's process and the workers it forked; takes the place of an MPI `Team`.

    The workers run from `__init__` until `end` is called or the pool is garbage-collected.
    """

    rank = 0
    comm = None

    def __init__(self, work: Work, workers: int) -> None:
        self.size = 1 + workers
        self.memory = SharedMemory()
        self._handles: list[WorkerHandle] = []
        self._end = weakref.finalize(self, _end, os.getpid(), self._handles, self.memory)
        for number in range(workers):
            self._handles.append(self._start(number, workers, work))

    @property
    def workers(self) -> int:
        return self.size - 1

    def map_shared(self, plan: SharedLayout) -> SharedState:
        """Shared memory with this layout, which the workers map in turn."""
        return SharedState(plan, self.memory.mapped(plan.size))

    def ask(
        self, order: Mapping[str, Any], meanwhile: Callable[[], None] = lambda: None
    ) -> Sequence[dict[str, Any]]:
        """Send a command to all workers and wait for all answers, returned by worker number.

        meanwhile  called every PERIOD seconds while waiting
        """
        answers: dict[int, dict[str, Any]] = {}
        for handle in self._handles:
            handle.send(order)
        waiting = {handle.answers: handle for handle in self._handles}
        while waiting:
            for ready in select.select(list(waiting), [], [], PERIOD)[0]:
                answer = waiting[ready].receive()
                if answer is not None:
                    answers[waiting.pop(ready).number] = answer
            meanwhile()
        return [answers[handle.number] for handle in self._handles]

    def end(self) -> None:
        self._end()

    def _start(self, number: int, workers: int, work: Work) -> WorkerHandle:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        given, orders = os.pipe()
        answers, to = os.pipe()
        with warnings.catch_warnings():
            # threads of BLAS are ended before a fork and started after it, by BLAS itself
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._be_worker(number, workers, work, given, to, (orders, answers))
        os.close(given)
        os.close(to)
        return WorkerHandle(number, pid, orders, answers)

    def _be_worker(
        self, number: int, workers: int, work: Work, given: int, to: int, not_its: tuple[int, ...]
    ) -> None:
        """Runs in the worker's process and never returns. Closes the other workers' pipe ends,
        which would keep those workers from noticing that the parent died."""
        code = 1
        try:
            others = [file for handle in self._handles for file in (handle.orders, handle.answers)]
            for file in (*not_its, *others):
                os.close(file)
            serve(number, workers, work, self.memory, given, to)
            code = 0
        finally:
            os._exit(code)


def _end(owner: int, handles: Sequence[WorkerHandle], memory: SharedMemory) -> None:
    """Kill the workers and reap them. Does nothing in a process that is not their parent."""
    if os.getpid() != owner:
        return
    for handle in handles:
        if handle.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(handle.pid, signal.SIGKILL)
        os.close(handle.orders)
        os.close(handle.answers)
    for handle in handles:
        if handle.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(handle.pid, 0)
    memory.close()
