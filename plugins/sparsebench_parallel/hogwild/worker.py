"""A worker process: computes gradients of its batches and applies them to the shared values."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from sparsebench.core.arrays import Rows, Vector
from sparsebench.core.protocols import Network, Optimizer, Schedule
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.training.steps import Timers
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Work
from sparsebench.core.worker import limits
from sparsebench.core.worker.classify import chain, out_of_memory
from sparsebench.core.worker.guard_processes import die_with_parent
from sparsebench.core.worker.meter import Meter
from sparsebench.seeds import generator
from sparsebench_parallel.hogwild.shared_state import SharedLayout, SharedMemory, SharedState
from sparsebench_parallel.partition import part_bounds, part_of, seed_of, stream_of

BLOCK = 1 << 15
"""Entries updated at a time: they fit into the cache, and another worker can see a block half done
for microseconds only."""


def serve(
    number: int, work: Work, workers: int, memory: SharedMemory, orders: int, to: int
) -> None:
    """Call a method of a `Worker` for each line read from the pipe `orders`, and write its result
    as a line to the pipe `to`, until `orders` is closed. Both are file descriptors.

    `orders` is closed when the parent ends. A worker in the middle of a round would notice that
    only at the round's end; it is killed at once where the system can do that.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(number, workers, work, memory)
    with os.fdopen(orders) as lines:
        for line in lines:
            try:
                method, arguments = json.loads(line)
                answer = getattr(worker, method)(**arguments) or {}
            except Exception as error:
                with limits.memory_to_report():
                    answer = _error_answer(error)
            os.write(to, (json.dumps(answer) + "\n").encode())


def _error_answer(error: Exception) -> dict[str, Any]:
    """The answer that reports an error: its type and the last line of its message. The traceback
    goes to stderr."""
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
        sys.stderr.flush()
    error.__traceback__ = None
    lines = str(error).strip().splitlines() or [""]
    kind = "MemoryError" if any(map(out_of_memory, chain(error))) else type(error).__name__
    return {"error": kind, "message": lines[-1]}


@dataclass(frozen=True)
class StatelessOptimizer:
    """An optimizer without state for networks that only compute gradients or outputs.

    rule  the trial's optimizer, whose state is in shared memory
    """

    rule: Optimizer
    slots: tuple[str, ...] = ()

    @property
    def learning_rate(self) -> float:
        return self.rule.learning_rate

    @property
    def schedule(self) -> Schedule:
        return self.rule.schedule

    def update(self, w: Any, g: Any, state: Any, rate: float, t: int, kind: Any) -> None:
        """Do nothing: the function `update` of this module makes the steps, in shared memory."""


@runtime_checkable
class RepairsState(Protocol):
    """An optimizer that divides one of its state arrays by another. Without a lock, one of them can
    lose a gradient that the other has, and the step would be far too long."""

    def repair(self, state: Sequence[Vector]) -> None:
        """Change the state, in place, to the nearest state that a single process could have."""


def update(
    rule: Optimizer, shared: SharedState, gradients: Sequence[Vector], rate: float, t: int
) -> None:
    """Make step t on the shared values and state, in place, without a lock.

    The step is computed on a copy, and the difference is added. If two workers add to the same
    entry at once, a float32 is still loaded and stored whole, but what one of them added may be
    lost. Hogwild accepts that (Niu et al. 2011, arXiv 1106.5730): it is one term of many, and a
    gradient may mix values of several steps. A rule that divides by its state repairs the copy
    first (`RepairsState`).
    """
    weights = 2 * len(shared.patterns)
    for number, (w, g) in enumerate(zip(shared.values, gradients, strict=True)):
        is_weight = number < weights and number % 2 == 0
        kind: Literal["weight", "bias"] = "weight" if is_weight else "bias"
        for at in range(0, w.size, BLOCK):
            part = slice(at, at + BLOCK)
            slots = [slot[part] for slot in shared.optimizer_state[number]]
            before = [np.array(array) for array in (w[part], *slots)]
            after = [np.array(array) for array in before]
            if isinstance(rule, RepairsState):
                rule.repair(after[1:])
            rule.update(after[0], g[part], after[1:], rate, t, kind)
            for array, old, new in zip((w[part], *slots), before, after, strict=True):
                array += new - old


def batches_of(work: Work, workers: int) -> list[int]:
    """The number of batches of each worker in an epoch; the last of each may be smaller.

    Raises Unsupported if a worker would have no samples.
    """
    bounds = part_bounds(len(work.data.train), workers)
    return [math.ceil((end - begin) / work.batch_size) for begin, end in pairwise(bounds)]


def steps_of(batches: Sequence[int], worker: int) -> Rows:
    """The numbers, from 0, of the steps of an epoch that one worker makes. The workers take turns
    as long as they have batches left.

    batches  number of batches of each worker
    """
    own = np.arange(batches[worker])
    before = [np.minimum(count, own) for count in batches]
    same_turn = [(count > own).astype(np.int64) for count in batches[:worker]]
    steps: Rows = np.sum([*before, *same_turn], axis=0, dtype=np.int64)
    return steps


class Worker:
    """One of the workers, counted from 0, with its own network and part of the samples.

    The parent calls its public methods through `serve`; arguments and results are JSON data.
    """

    def __init__(self, number: int, workers: int, work: Work, memory: SharedMemory) -> None:
        self._number = number
        self._work = work
        self._memory = memory
        self._meter = Meter()
        batches = batches_of(work, workers)
        self._per_epoch = sum(batches)
        self._steps = steps_of(batches, number)
        self._part = part_of(len(work.data.train), workers, number, work.seed)
        self._rows = self._part
        self._epoch = self._next = 0
        self._shared: SharedState
        self._network: Network | None = None

    def warm_up(self) -> None:
        warm_up(self._work)
        self._meter.set_baseline()

    def map_state(self, layout: dict[str, Any]) -> None:
        """Map the shared arrays and make this worker's network of them. It shares the connections
        and has its own copy of the values."""
        if self._meter.baseline is None:
            self._meter.set_baseline()
        self._network = None
        work = replace(self._work, optimizer=StatelessOptimizer(self._work.optimizer))
        self._shared = SharedState(SharedLayout(**layout), self._memory)
        values = [np.array(value) for value in self._shared.values]
        layers = [
            work.backend.layer(CsrMatrix(pattern, data), bias, work.optimizer)
            for pattern, data, bias in zip(self._shared.patterns, values[::2], values[1::2])
        ]
        self._network = work.network(layers, seed_of(work.seed, self._number))

    def run_round(self, epoch: int, end: int) -> dict[str, Any]:
        """Make this worker's steps of the epoch that are left before step `end`; stop early if some
        worker's loss is not finite. Returns the number of steps and samples, the sum of the losses
        over the samples, and the seconds by phase."""
        if epoch != self._epoch:
            self._epoch, self._next = epoch, 0
            rng = generator(self._work.seed, "shuffle", epoch, *stream_of(self._number))
            self._rows = self._part[rng.permutation(self._part.size)]
        timers, steps, samples, losses = Timers(), 0, 0, 0.0
        while self._next < self._steps.size and self._steps[self._next] < end:
            if self._shared.stop.any():
                break
            loss, size = self._step(timers)
            steps, samples, losses = steps + 1, samples + size, losses + loss * size
            self._shared.done[self._number] = steps
            self._shared.loss[self._number] = loss
            self._shared.stop[self._number] = not math.isfinite(loss)
        return {"steps": steps, "samples": samples, "losses": losses, "seconds": timers.take()}

    def _step(self, timers: Timers) -> tuple[float, int]:
        """Compute a gradient on a copy of the shared values, and apply it to the values as they are
        after that. Returns the loss and the number of samples."""
        assert self._network is not None
        work, size, per_epoch = self._work, self._work.batch_size, self._per_epoch
        t = (self._epoch - 1) * per_epoch + int(self._steps[self._next]) + 1
        rows = self._rows[self._next * size : (self._next + 1) * size]
        self._next += 1
        with timers("data"):
            X, T = work.data.train.batch(rows, self._epoch)
        started = time.perf_counter()
        self._network.assign(self._shared.values)
        loss = self._network.compute_gradients(X, T, t)
        if math.isfinite(loss):
            factor = work.optimizer.schedule.factor(t, work.epochs * per_epoch, per_epoch)
            rate = work.optimizer.learning_rate * factor
            update(work.optimizer, self._shared, self._network.gradients(), rate, t)
        timers.add("step", time.perf_counter() - started)
        return loss, int(rows.size)

    def finish(self) -> dict[str, Any]:
        """The bytes of this worker's own memory: its peak, and what its network stores. The shared
        memory is subtracted from the peak, because the worker has touched every page of it."""
        assert self._network is not None
        return {
            "net_peak_bytes": max(0, (self._meter.net_peak_bytes() or 0) - self._memory.size),
            "stored_bytes": sum(self._network.stored_bytes().values()),
        }
