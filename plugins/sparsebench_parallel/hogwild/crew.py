"""The worker processes of a trial, forked from its own; orders and answers go through pipes."""

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
from sparsebench.core.worker.classify import signal_name
from sparsebench.core.worker.error_status import ProcessEnded
from sparsebench.errors import Unsupported
from sparsebench_parallel.hogwild.shared import Board, Plan, SharedMemory
from sparsebench_parallel.hogwild.worker import serve

PERIOD = 0.2
"""Seconds between two looks at how far a round is."""

RAISED_AS = {"MemoryError": MemoryError, "Unsupported": Unsupported}
"""What went wrong in a worker as what is raised for it, so that the trial ends as a trial does in
which the same went wrong."""


class WorkerError(Exception):
    """A worker has failed; the message begins with which."""


@dataclass(eq=False)
class Seat:
    """A worker as its parent sees it. Orders go to `orders`, answers come from `answers`."""

    number: int
    pid: int
    orders: int
    answers: int
    heard: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        return f"worker {self.number + 1}"

    def tell(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: to be heard from its answers
            os.write(self.orders, (json.dumps(order) + "\n").encode())

    def hear(self) -> dict[str, Any] | None:
        """Its answer once that is there whole. Raises what went wrong with the worker."""
        part = os.read(self.answers, 1 << 16)
        if not part:
            raise self._ended()
        self.heard += part
        if not self.heard.endswith(b"\n"):
            return None
        answer: dict[str, Any] = json.loads(self.heard)
        self.heard = b""
        if "error" in answer:
            self._raise(answer["error"], answer["said"])
        return answer

    def _raise(self, kind: str, said: str) -> None:
        words = f"{self.name}: {said}"
        if kind in RAISED_AS:
            raise RAISED_AS[kind](words)
        raise WorkerError(f"{self.name}: {kind}: {said}".rstrip(": "))

    def _ended(self) -> ProcessEnded:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        how = f"ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return ProcessEnded(f"{self.name}: {how}", code)


class Crew:
    """The workers of a trial: a `Team` of this process and those it forked, without mpi.

    They are there from `__init__` on, and gone after `end`, or with whoever forgets it.
    """

    rank = 0
    comm = None

    def __init__(self, work: Work, workers: int) -> None:
        self.size = 1 + workers
        self.memory = SharedMemory()
        self._seats: list[Seat] = []
        self._end = weakref.finalize(self, _end, os.getpid(), self._seats, self.memory)
        for number in range(workers):
            self._seats.append(self._start(number, workers, work))

    @property
    def workers(self) -> int:
        return self.size - 1

    def board(self, plan: Plan) -> Board:
        """Shared memory laid out by a plan, for all workers: they build their networks anew."""
        return Board(plan, self.memory.mapped(plan.size))

    def ask(
        self, order: Mapping[str, Any], meanwhile: Callable[[], None] = lambda: None
    ) -> Sequence[dict[str, Any]]:
        """The answers of all workers to an order, in their order: a barrier.

        meanwhile  called every fifth of a second
        """
        answers: dict[int, dict[str, Any]] = {}
        for seat in self._seats:
            seat.tell(order)
        waiting = {seat.answers: seat for seat in self._seats}
        while waiting:
            for ready in select.select(list(waiting), [], [], PERIOD)[0]:
                answer = waiting[ready].hear()
                if answer is not None:
                    answers[waiting.pop(ready).number] = answer
            meanwhile()
        return [answers[seat.number] for seat in self._seats]

    def end(self) -> None:
        self._end()

    def _start(self, number: int, workers: int, work: Work) -> Seat:
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
        return Seat(number, pid, orders, answers)

    def _be_worker(
        self, number: int, workers: int, work: Work, given: int, to: int, not_its: tuple[int, ...]
    ) -> None:
        """In the worker's process; does not return. An end held open here would keep another
        worker from hearing that nobody asks any more."""
        code = 1
        try:
            others = [file for seat in self._seats for file in (seat.orders, seat.answers)]
            for file in (*not_its, *others):
                os.close(file)
            serve(number, workers, work, self.memory, given, to)
            code = 0
        finally:
            os._exit(code)


def _end(owner: int, seats: Sequence[Seat], memory: SharedMemory) -> None:
    """End the workers, whatever they are at, and wait for them. Only their parent does."""
    if os.getpid() != owner:
        return
    for seat in seats:
        if seat.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(seat.pid, signal.SIGKILL)
        os.close(seat.orders)
        os.close(seat.answers)
    for seat in seats:
        if seat.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(seat.pid, 0)
    memory.close()
