"""Training in rounds of the workers' steps; the topology may change between rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import AppliedChange, Change
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Timers
from sparsebench.core.training.work import EpochRecord, Work
from sparsebench_parallel.hogwild.shared_state import SharedLayout, SharedState, Vector
from sparsebench_parallel.hogwild.step_order import Round, StepOrder
from sparsebench_parallel.hogwild.worker_pool import WorkerPool


class Rounds(Training):
    """Training whose turns are rounds of the workers' steps; it is its own `Steps`.

    A step is one worker's gradient on one batch, applied. A round lasts until the topology is
    due, or the epoch ends; then only this process uses the values. Whether a topology or a
    pruning is due is computed ahead, so it must depend on the step alone.

    slots         arrays of optimizer state for each array of values
    step_seconds  of the workers' steps so far, and how many they were
    """

    def __init__(self, work: Work, network: Network, pool: WorkerPool, slots: int) -> None:
        self.timers = Timers()
        self.step_seconds, self.steps_made = 0.0, 0
        self._pool = pool
        self._order = StepOrder.of(work, pool.workers)
        self._patterns = [layer.weights().pattern for layer in network.layers]
        self._state: list[list[Vector]] = [
            [np.zeros_like(value) for _ in range(slots)] for value in network.values()
        ]
        self._slots = slots
        self._moved = False
        super().__init__(work, network, self, on_change=self._follow)
        self.board = self._published()

    @property
    def per_epoch(self) -> int:
        return self._order.per_epoch

    def turns(self, epoch: int, start: int) -> Iterator[Round]:
        begin = 0
        for end in range(1, self.per_epoch + 1):
            if end == self.per_epoch or self._due(epoch, end):
                yield Round(epoch, begin, end)
                begin = end

    def take(self, turn: Round, rate: float, t: int) -> tuple[float, int]:
        """Run a round whose first step is t. Workers compute their learning rates themselves."""
        if self._moved:
            with self.timers("topology"):
                self.board = self._published()
        self.board.new_round()
        started = time.perf_counter()
        order = {"do": "round", "round": asdict(turn)}
        answers = self._pool.ask(order, lambda: self._report(turn.epoch, t))
        self.network.assign(self.board.values)
        self._count(answers, time.perf_counter() - started)
        self.step = t - 1 + turn.steps
        samples = sum(answer["samples"] for answer in answers)
        return sum(answer["losses"] for answer in answers) / max(samples, 1), samples

    def close_epoch(self, epoch: int, *, tested: bool = True, **known: Any) -> EpochRecord:
        rate = self.rate_at(self.step)
        return super().close_epoch(epoch, tested=tested, learning_rate=rate, **known)

    def _due(self, epoch: int, end: int) -> bool:
        step = (epoch - 1) * self.per_epoch + end
        return self.updater.due(TrainingStep(epoch, self.work.epochs, step, self.per_epoch, False))

    def _report(self, epoch: int, t: int) -> None:
        """Report the progress of the round."""
        done = int(self.board.done.sum())
        if done:
            begun = self.board.done > 0
            self.work.progress(epoch, t - 1 + done, float(self.board.loss[begun].mean()))

    def _count(self, answers: Any, seconds: float) -> None:
        """A round's seconds: those in which a worker prepares data are not those of training."""
        data = statistics.fmean(answer["timers"].get("data", 0.0) for answer in answers)
        self.timers.add("data", data)
        self.timers.add("train", max(0.0, seconds - data))
        self.step_seconds += sum(answer["timers"].get("step", 0.0) for answer in answers)
        self.steps_made += sum(answer["steps"] for answer in answers)

    # --- topology ---------------------------------------------------------------------

    def _follow(self, index: int, change: Change) -> None:
        """State follows its connections; grown ones start at 0."""
        applied = AppliedChange(self._patterns[index], change)
        self._state[2 * index] = [applied.carry(slot) for slot in self._state[2 * index]]
        self._patterns[index] = self.network.layers[index].weights().pattern
        self._moved = True

    def _published(self) -> SharedState:
        """Copy connections, values and state to shared memory; workers rebuild their networks."""
        values = self.network.values()
        layers = 2 * len(self._patterns)
        plan = SharedLayout(
            workers=self._pool.workers,
            shapes=[pattern.shape for pattern in self._patterns],
            nnz=[pattern.nnz for pattern in self._patterns],
            others=[value.size for value in values[layers:]],
            slots=self._slots,
        )
        state = [[np.array(slot) for slot in slots] for slots in self._state]  # may be overwritten
        board = self._pool.map_shared(plan)
        board.write(self._patterns, values, state)
        self._state = board.state
        self._pool.ask({"do": "look", "plan": plan.to_json()})
        self._moved = False
        return board


def in_all(rounds: Rounds, facts: Mapping[str, Any], answers: Any) -> dict[str, float | int | None]:
    """Measures in addition to those of the loop; stored bytes are summed over processes."""
    stored = sum(answer["stored_bytes"] for answer in answers)
    seconds, steps = rounds.step_seconds, rounds.steps_made
    return {
        "worker_step_seconds": seconds / steps if steps else None,
        "staleness_mean": None,
        "stored_bytes": facts["stored_bytes"] + rounds.board.nbytes + stored,
        "workers_net_peak_bytes": sum(answer["net_peak_bytes"] for answer in answers),
        "shared_bytes": rounds.board.nbytes,
    }
