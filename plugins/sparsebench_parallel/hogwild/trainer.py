"""The Hogwild trainer: rounds of the workers' steps, and topology updates between two rounds."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import AppliedChange, Change
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Timers, refuse_signals
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import EpochRecord, Result, Work
from sparsebench.core.worker.limits import threading_layer
from sparsebench.errors import Unsupported
from sparsebench_parallel.hogwild.shared_state import SharedLayout, SharedState
from sparsebench_parallel.hogwild.worker import StatelessOptimizer, batches_of
from sparsebench_parallel.hogwild.worker_pool import WorkerPool
from sparsebench_parallel.params import HogwildParams

Round = tuple[int, int, int]
"""(epoch, begin, end): the round makes the steps begin + 1 to end of the epoch."""


class Hogwild(HogwildParams):
    """Each worker reads the shared values, computes the gradient of a batch of its part of the
    samples, and applies it to the values as they are by then. The topology changes at barriers.

    Niu et al. (2011), arXiv 1106.5730. Deviations: a gradient is that of a batch and changes all
    connections, while theirs changes few; each gradient is computed on a copy of the values.
    """

    def fork(self, work: Work) -> Work:
        """Start the workers, which share the memory of the data, and return the work with them as
        its team. Raises Unsupported if the trial or the system does not allow it."""
        if work.keeper is not None:
            raise Unsupported("hogwild keeps no checkpoints; leave trial.checkpoint out")
        refuse_signals(work, "hogwild")
        if not hasattr(os, "fork"):
            raise Unsupported("hogwild forks its workers, which this system cannot")
        if "numba" in sys.modules and threading_layer() is not None:
            raise Unsupported(
                "hogwild forks its workers, and this process has run threads of numba, which "
                "would not be there in a worker; run the trial in a process of its own"
            )
        batches_of(work, self.workers)  # raises Unsupported before anything is started
        return replace(work, team=WorkerPool(work, self.workers))

    def warm_up(self, work: Work) -> None:
        """Warm up this process first, so that the workers find the code that it has compiled."""
        warm_up(work)
        if isinstance(work.team, WorkerPool):
            work.team.ask("warm_up")

    def run(self, work: Work) -> Result:
        if not isinstance(work.team, WorkerPool):
            work = self.fork(work)
        pool = work.team
        assert isinstance(pool, WorkerPool)
        try:
            return _train(replace(work, optimizer=StatelessOptimizer(work.optimizer)), pool)
        finally:
            pool.end()


def _train(work: Work, pool: WorkerPool) -> Result:
    with work.meter.phase("build"):
        rounds = Rounds(work, build_network(work), pool)
    rounds.run(1, work.epochs)
    result, state = rounds.result(), rounds.state
    answers = pool.ask("finish")
    workers_peak = sum(answer["net_peak_bytes"] for answer in answers)
    meter: Any = work.meter
    if hasattr(meter, "add_earlier") and (own := meter.net_peak_bytes()) is not None:
        # this process's peak, with the shared memory, and each worker's without it; the peaks need
        # not have been at one moment, so the sum is never too small
        meter.add_earlier({"phases": {}, "peak_rss_bytes": 0, "net_peak_bytes": own + workers_peak})
    layers = [
        {**facts, "stored_bytes": {**facts["stored_bytes"], "shared": state.layer_bytes(index)}}
        for index, facts in enumerate(result.layers)
    ]
    measures = {
        **result.measures,
        "worker_step_seconds": rounds.step_seconds / rounds.steps if rounds.steps else None,
        "staleness_mean": None,
        "stored_bytes": (result.measures["stored_bytes"] or 0)
        + state.nbytes
        + sum(answer["stored_bytes"] for answer in answers),
        "workers_net_peak_bytes": workers_peak,
        "shared_bytes": state.nbytes,
    }
    return replace(result, measures=measures, layers=layers)


class Rounds(Training):
    """The training loop, in which a round of the workers' steps takes the place of a single step.
    It is both the `Training` and its `Steps`.

    A step is one worker's gradient on one batch, applied. A round ends when a topology update is
    due or the epoch ends; between rounds only this process uses the values. Whether an update or a
    pruning is due is computed ahead, so it must depend on the step alone.

    step_seconds, steps  seconds and number of the workers' steps so far
    """

    def __init__(self, work: Work, network: Network, pool: WorkerPool) -> None:
        assert isinstance(work.optimizer, StatelessOptimizer)
        self.timers = Timers()
        self.step_seconds, self.steps = 0.0, 0
        self.per_epoch = sum(batches_of(work, pool.workers))
        self._pool = pool
        self._patterns = [layer.weights().pattern for layer in network.layers]
        self._slots = len(work.optimizer.rule.slots)
        self._optimizer_state: list[list[Vector]] = [
            [np.zeros_like(value) for _ in range(self._slots)] for value in network.values()
        ]
        super().__init__(work, network, self, on_change=self._carry_state)
        self.state = self._shared()

    def turns(self, epoch: int, start: int) -> Iterator[Round]:
        begin, last = 0, self.per_epoch
        for end in range(1, last + 1):
            step = TrainingStep(epoch, self.work.epochs, (epoch - 1) * last + end, last, False)
            if end == last or self.updater.due(step):
                yield epoch, begin, end
                begin = end

    def take(self, turn: Round, rate: float, t: int) -> tuple[float, int]:
        """Run a round whose first step is t. Returns the mean loss and the number of samples.
        `rate` is not used: workers compute the learning rate of each of their steps."""
        epoch, begin, end = turn
        if self._topology_changed:
            with self.timers("topology"):
                self.state = self._shared()
        self.state.new_round()
        started = time.perf_counter()

        def report() -> None:
            done = int(self.state.done.sum())
            if done:
                loss = float(self.state.loss[self.state.done > 0].mean())
                self.work.progress(epoch, t - 1 + done, loss)

        answers = self._pool.ask("run_round", epoch=epoch, end=end, meanwhile=report)
        self.network.assign(self.state.values)
        # time in which a worker prepares data is not training time
        data = statistics.fmean(answer["seconds"].get("data", 0.0) for answer in answers)
        self.timers.add("data", data)
        self.timers.add("train", max(0.0, time.perf_counter() - started - data))
        self.step_seconds += sum(answer["seconds"].get("step", 0.0) for answer in answers)
        self.steps += sum(answer["steps"] for answer in answers)
        self.step = t - 1 + end - begin
        samples = sum(answer["samples"] for answer in answers)
        return sum(answer["losses"] for answer in answers) / max(samples, 1), samples

    def close_epoch(self, epoch: int, *, tested: bool = True, **known: Any) -> EpochRecord:
        rate = self.rate_at(self.step)
        return super().close_epoch(epoch, tested=tested, learning_rate=rate, **known)

    def _carry_state(self, index: int, change: Change) -> None:
        """Move the optimizer state of layer `index` to its new connections; those that were grown
        start at 0."""
        applied = AppliedChange(self._patterns[index], change)
        slots = self._optimizer_state[2 * index]
        self._optimizer_state[2 * index] = [applied.carry(slot) for slot in slots]
        self._patterns[index] = self.network.layers[index].weights().pattern
        self._topology_changed = True

    def _shared(self) -> SharedState:
        """Copy connections, values and state to shared memory, and make the workers rebuild their
        networks from it."""
        values = self.network.values()
        layout = SharedLayout(
            workers=self._pool.workers,
            shapes=[pattern.shape for pattern in self._patterns],
            nnz=[pattern.nnz for pattern in self._patterns],
            others=[value.size for value in values[2 * len(self._patterns) :]],
            slots=self._slots,
        )
        # copied, because the state is in the memory that is about to be written
        old: Sequence[Any] = [[np.array(slot) for slot in slots] for slots in self._optimizer_state]
        state = SharedState(layout, self._pool.memory)
        state.write(self._patterns, values, old)
        self._optimizer_state = state.optimizer_state
        self._pool.ask("map_state", layout=asdict(layout))
        self._topology_changed = False
        return state
