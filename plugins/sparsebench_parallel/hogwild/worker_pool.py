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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsebench.core.training.work import Work
from sparsebench.core.worker.classify import ProcessEnded, signal_name
from sparsebench.errors import Unsupported
from sparsebench_parallel.hogwild.shared_state import SharedMemory
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
    """The parent's handle of a worker process.

    pid              its process id; 0 once it has ended and was waited for
    orders, answers  file descriptors: the pipe to the worker, and the pipe from it
    received         the part of its next answer that has arrived
    """

    number: int
    pid: int
    orders: int
    answers: int
    received: bytes = field(default=b"", repr=False)

    def receive(self) -> dict[str, Any] | None:
        """Read what has arrived. Returns the worker's answer if that completes it, else None.
        Raises the error that the worker reports, or ProcessEnded if the worker has ended."""
        name = f"worker {self.number + 1}"
        part = os.read(self.answers, 1 << 16)
        if not part:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.pid = 0
            how = f"ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
            raise ProcessEnded(f"{name}: {how}", code)
        self.received += part
        if not self.received.endswith(b"\n"):
            return None
        answer: dict[str, Any] = json.loads(self.received)
        self.received = b""
        if "error" in answer:
            kind, message = answer["error"], answer["message"]
            if kind in RAISED_AS:
                raise RAISED_AS[kind](f"{name}: {message}")
            raise WorkerError(f"{name}: {kind}: {message}".rstrip(": "))
        return answer


class WorkerPool:
    """The workers that a trial's process has forked; used where an MPI training has its `Team`.

    The workers run from `__init__` until `end` is called or the pool is garbage-collected.
    """

    rank = 0
    comm = None

    def __init__(self, work: Work, workers: int) -> None:
        self.workers = workers
        self.size = 1 + workers
        self.memory = SharedMemory()
        self._handles: list[WorkerHandle] = []
        self.end = weakref.finalize(self, _end, os.getpid(), self._handles, self.memory)
        for number in range(workers):
            self._handles.append(self._start(number, work))

    def ask(
        self, method: str, meanwhile: Callable[[], None] = lambda: None, **arguments: Any
    ) -> Sequence[dict[str, Any]]:
        """Call a method of each `Worker`, wait until all have answered, and return the answers in
        the order of the workers.

        meanwhile  called while waiting: at each answer, and at least every PERIOD seconds
        """
        line = (json.dumps([method, arguments]) + "\n").encode()
        for handle in self._handles:
            with contextlib.suppress(BrokenPipeError):  # it has ended; `receive` raises why
                os.write(handle.orders, line)
        answers: dict[int, dict[str, Any]] = {}
        waiting = {handle.answers: handle for handle in self._handles}
        while waiting:
            for ready in select.select(list(waiting), [], [], PERIOD)[0]:
                answer = waiting[ready].receive()
                if answer is not None:
                    answers[waiting.pop(ready).number] = answer
            meanwhile()
        return [answers[handle.number] for handle in self._handles]

    def _start(self, number: int, work: Work) -> WorkerHandle:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        read_orders, orders = os.pipe()
        answers, write_answers = os.pipe()
        with warnings.catch_warnings():
            # threads of BLAS are ended before a fork and started after it, by BLAS itself
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                # other workers' pipe ends would keep those from noticing that the parent died
                others = [
                    end for handle in self._handles for end in (handle.orders, handle.answers)
                ]
                for end in (orders, answers, *others):
                    os.close(end)
                serve(number, work, self.workers, self.memory, read_orders, write_answers)
                code = 0
            finally:
                os._exit(code)
        os.close(read_orders)
        os.close(write_answers)
        return WorkerHandle(number, pid, orders, answers)


def _end(owner: int, handles: Sequence[WorkerHandle], memory: SharedMemory) -> None:
    """Kill the workers, wait for their end, and close pipes and shared memory. Does nothing in a
    process that is not their parent."""
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
