"""A worker: gradients of its batches on the shared values, as long as it is told to."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.training.steps import Timers
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Work
from sparsebench.core.worker import limits
from sparsebench.core.worker.classify import chain, out_of_memory
from sparsebench.core.worker.host import die_with_parent
from sparsebench.core.worker.meter import Meter
from sparsebench.seeds import generator
from sparsebench_parallel.hogwild.shared_state import SharedLayout, SharedMemory, SharedState
from sparsebench_parallel.hogwild.shared_update import WithoutState, update
from sparsebench_parallel.hogwild.step_order import Round, StepOrder
from sparsebench_parallel.partition import part_of, shuffled


def serve(number: int, workers: int, work: Work, memory: SharedMemory, given: int, to: int) -> None:
    """Do what each line read from `given` says, and answer a line; until nobody asks.

    The end of `given` is the end of whoever asked, and where the kernel has a way of its own, a
    worker in the midst of a round ends with its parent too.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(number, workers, work, memory)
    with os.fdopen(given) as lines:
        for line in lines:
            try:
                answer = worker.obey(json.loads(line))
            except Exception as error:
                with limits.memory_to_report():
                    answer = _error_answer(error)
            os.write(to, (json.dumps(answer) + "\n").encode())


def _error_answer(error: Exception) -> dict[str, Any]:
    """What went wrong, in a line; the traceback goes to stderr."""
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
        sys.stderr.flush()
    error.__traceback__ = None
    lines = str(error).strip().splitlines() or [""]
    kind = "MemoryError" if any(map(out_of_memory, chain(error))) else type(error).__name__
    return {"error": kind, "message": lines[-1]}


class Worker:
    """Number `number` of `workers`, from 0, with a network of its own and a part of the samples.

    Its dropout has a stream of its own; that of worker 0 is the one of a single process.
    """

    def __init__(self, number: int, workers: int, work: Work, memory: SharedMemory) -> None:
        self._number = number
        self._work = work
        self._memory = memory
        self._meter = Meter()
        self._order = StepOrder.of(work, workers)
        self._places = self._order.places(number)
        self._part = part_of(len(work.data.train), workers, number, work.seed)
        self._rows = self._part
        self._epoch = self._next = 0
        self._seed = work.seed
        if number:
            self._seed = int(generator(work.seed, "worker", number).integers(2**63))
        self._board: SharedState
        self._network: Network | None = None

    def obey(self, order: Mapping[str, Any]) -> dict[str, Any]:
        if order["do"] == "warm up":
            warm_up(self._work)
            self._meter.set_baseline()
        elif order["do"] == "look":
            self._look(SharedLayout.from_json(order["plan"]))
        elif order["do"] == "round":
            return self._make(Round(**order["round"]))
        elif order["do"] == "finish":
            return self._facts()
        return {}

    def _look(self, plan: SharedLayout) -> None:
        """Make the network anew from what is shared. Its connections stay where they are seen,
        its values are a copy."""
        if self._meter.baseline is None:
            self._meter.set_baseline()
        self._network = None
        work = replace(self._work, optimizer=WithoutState(self._work.optimizer))
        self._board = SharedState(plan, self._memory.mapped(plan.size))
        layers = []
        for number, pattern in enumerate(self._board.patterns):
            data, bias = map(np.array, self._board.values[2 * number : 2 * number + 2])
            layers.append(work.backend.layer(CsrMatrix(pattern, data), bias, work.optimizer))
        self._network = work.network(layers, self._seed)

    def _make(self, turn: Round) -> dict[str, Any]:
        """Its steps of a round; the sum of their losses over samples, and seconds."""
        if turn.epoch != self._epoch:
            self._epoch, self._next = turn.epoch, 0
            self._rows = shuffled(self._part, self._work.seed, turn.epoch, self._number)
        timers, steps, samples, losses = Timers(), 0, 0, 0.0
        while self._next < self._places.size and self._places[self._next] < turn.end:
            if self._board.stop.any():
                break
            loss, size = self._step(timers)
            steps, samples, losses = steps + 1, samples + size, losses + loss * size
            self._board.done[self._number] = steps
            self._board.loss[self._number] = loss
            self._board.stop[self._number] = not math.isfinite(loss)
        return {"steps": steps, "samples": samples, "losses": losses, "timers": timers.take()}

    def _step(self, timers: Timers) -> tuple[float, int]:
        """The values of now, a gradient, and the update of whatever the values are by then."""
        assert self._network is not None
        work, size, per_epoch = self._work, self._work.batch_size, self._order.per_epoch
        t = (self._epoch - 1) * per_epoch + int(self._places[self._next]) + 1
        rows = self._rows[self._next * size : (self._next + 1) * size]
        self._next += 1
        with timers("data"):
            X, T = work.data.train.batch(rows, self._epoch)
        started = time.perf_counter()
        self._network.assign(self._board.values)
        loss = self._network.compute_gradients(X, T, t)
        if math.isfinite(loss):
            factor = work.optimizer.schedule.factor(t, work.epochs * per_epoch, per_epoch)
            rate = work.optimizer.learning_rate * factor
            update(work.optimizer, self._board, self._network.gradients(), rate, t)
        timers.add("step", time.perf_counter() - started)
        return loss, int(rows.size)

    def _facts(self) -> dict[str, Any]:
        """Memory of its own: shared memory, every page of which it has touched, is taken off."""
        stored = self._network.stored_bytes() if self._network is not None else {}
        peak = self._meter.net_peak_bytes() or 0
        return {
            "net_peak_bytes": max(0, peak - self._memory.size),
            "peak_rss_bytes": self._meter.peak_rss_bytes(),
            "stored_bytes": sum(stored.values()),
        }
