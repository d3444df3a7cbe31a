"""The training loop, which all trainers share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from typing import Any

from sparsebench.core.methods.protocols import Topology
from sparsebench.core.methods.training_position import TrainingStep, Validation
from sparsebench.core.methods.update import Counts, OnChange, TopologyUpdater
from sparsebench.core.metric import STEP_PARTS
from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.protocols import LayerSignals, Network, TrainsManySteps
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.checkpoint import Position, network_arrays
from sparsebench.core.training.dead_neurons import (
    check_compaction,
    epochs_between,
    remove_dead_neurons,
    sizes,
)
from sparsebench.core.training.observers import Observers
from sparsebench.core.training.steps import (
    Batches,
    ManySteps,
    ObservedSteps,
    Steps,
    evaluate,
    refuse_signals,
)
from sparsebench.core.training.summary import result_of
from sparsebench.core.training.work import TIMED, EpochRecord, Result, Work
from sparsebench.errors import Unsupported

BURST_SECONDS = 0.05
"""About how many seconds of steps are made in one call at most, because progress and checkpoints
are written only between calls."""

MOST_STEPS = 1024
"""The most steps that are made in one call."""


def train(work: Work) -> Result:
    """Build the network and train it. Each epoch is reported when it ends.

    Batches (data), steps (train), topology updates, evaluation and checkpoints are timed
    separately. Training stops when the loss is no longer finite. If training resumes from a
    checkpoint, the epochs in the checkpoint are reported first.
    """
    with work.meter.phase("build"):
        network = build_network(work)
        training = Training(work, network, Batches(work, network))
        training.resume()
    for record in training.records:
        work.report(record)
    training.run(training.begin.epoch, work.epochs)
    return training.result()


class Training:
    """A network in training: its steps, the updates of its topology, and its records.

    begin    the position at which training begins: the start, or that of a checkpoint
    started  number of connections of each layer before any update
    step     number of steps made so far
    records  the record of each finished epoch
    updater  makes the topology updates
    """

    def __init__(
        self,
        work: Work,
        network: Network,
        steps: Steps,
        *,
        seed: int | None = None,
        on_change: OnChange | None = None,
        scaled: Callable[[float, int], float] | None = None,
    ) -> None:
        """seed       of the topology's random draws; by default the trial's
        on_change  called with a layer's index and each change of its connections
        scaled     maps the learning rate of the schedule at step t to the one that is used
        """
        self.work = work
        self.network = network
        self.diverged = False
        self.records: list[EpochRecord] = []
        self.begin = Position()
        self.step = 0
        self.started = [layer.nnz for layer in network.layers]
        self.observers = Observers(work.observers, network, work.meter, steps.timers)
        check_compaction(work, network)
        callbacks = (self.observers.on_change, *(() if on_change is None else (on_change,)))
        self.updater = TopologyUpdater(
            network,
            work.topology,
            work.pruning,
            work.model.initializer,
            work.optimizer,
            work.seed if seed is None else seed,
            partial(_call_all, callbacks[::-1]),
            work.model.shapes(work.data.features, work.data.outputs),
        )
        if self.updater.needs_batch and not isinstance(steps, ObservedSteps):
            refuse_signals(work, "this trainer")
        if self.updater.needs_validation and work.data.validation is None:
            raise Unsupported(
                f"{type(work.topology).__name__} looks at validation samples, and there are none: "
                "set trial.validation above 0"
            )
        self.updater.watch(
            partial(_step_at, work.epochs, steps.per_epoch), partial(steps.timers, "topology")
        )
        self._steps = steps
        self._compact_every = epochs_between(work)
        self._burst = 1
        self._timers = steps.timers
        self._scaled = scaled
        self._rate = work.optimizer.learning_rate
        self._loss = 0.0

    def run(self, first: int, last: int, *, tested: bool = True) -> None:
        """Train epochs `first` to `last`, or until the loss is no longer finite; report each.

        tested  whether the network is evaluated at the end of each epoch
        """
        for epoch in range(first, last + 1):
            with self.work.meter.phase("train"):
                self._train_epoch(epoch)
            self.close_epoch(epoch, tested=tested)
            if self.diverged:
                break
            if epoch < self.work.epochs:
                next_epoch = Position(epoch=epoch + 1, step=self.step)
                self._keep_if_due(self.begin if self.begin.epoch == epoch + 1 else next_epoch)

    def result(self) -> Result:
        found = result_of(self.work, self.network, self.records, self.started, self.diverged)
        stored = self.network.stored_bytes().get("parameters", 0)
        if own := self.updater.measure_state() + stored:
            found.measures["method_bytes"] = own
        return found

    def rate_at(self, t: int) -> float:
        """The learning rate at step t, which counts from 1 over all epochs."""
        optimizer, per_epoch = self.work.optimizer, self._steps.per_epoch
        factor = optimizer.schedule.factor(t, self.work.epochs * per_epoch, per_epoch)
        rate = optimizer.learning_rate * factor
        return rate if self._scaled is None else self._scaled(rate, t)

    # --- an epoch ---------------------------------------------------------------------

    def _train_epoch(self, epoch: int) -> None:
        """Run all steps of an epoch, with topology updates and checkpoints between them when
        due."""
        begin = self.begin if self.begin.epoch == epoch else Position()
        losses, done = begin.losses, begin.start
        turns = self._steps.turns(epoch, begin.start)
        turn = next(turns, None)
        while turn is not None:
            many = isinstance(self._steps, ManySteps)
            together, upcoming = self._until_event(epoch, turn, turns) if many else ([turn], None)
            for loss, samples in self._take(together):
                losses, done = losses + loss * samples, done + samples
                if not math.isfinite(loss):
                    self.diverged = True
                    self._loss = loss
                    return
                self.work.progress(epoch, self.step, loss)
            turn = upcoming if many else next(turns, None)  # which may depend on the step
            if turn is None:
                break
            replaced = self._update_topology(epoch, turn, epoch_ended=False)
            if replaced is not None:
                losses, done = losses + replaced[0], done + replaced[1]
                turn = next(turns, None)
            self._keep_if_due(Position(epoch=epoch, start=done, step=self.step, losses=losses))
        self._loss = losses / done
        self._time_parts()
        # the update at the end of an epoch may look at the first batch of the next
        upcoming = None
        if epoch < self.work.epochs and self.updater.needs_batch:
            upcoming = next(self._steps.turns(epoch + 1, 0), None)
        replaced = self._update_topology(epoch, upcoming, epoch_ended=True)
        if self._compact_every is not None and epoch % self._compact_every == 0:
            assert isinstance(self.network, LayeredNetwork)
            with self.work.meter.phase("topology"), self._timers("topology"):
                remove_dead_neurons(self.work, self.network, self.updater)
        if replaced is not None:
            loss, samples = replaced
            self.begin = Position(epoch=epoch + 1, start=samples, step=self.step, losses=loss)

    def _until_event(
        self, epoch: int, turn: Any, turns: Iterator[Any]
    ) -> tuple[list[Any], Any | None]:
        """The turns, from `turn` on, whose steps may be made in one call: up to the next step after
        which an update or an observer is due, and at most `_burst`. Also returns the turn that
        follows them, or None. A turn is the input of a step, see `Steps`."""
        together = [turn]
        upcoming = next(turns, None)
        while upcoming is not None and len(together) < self._burst:
            t = self.step + len(together)
            step = TrainingStep(epoch, self.work.epochs, t, self._steps.per_epoch, False)
            if self.updater.due(step) or self.observers.due(step):
                break
            together.append(upcoming)
            upcoming = next(turns, None)
        return together, upcoming

    def _take(self, turns: Sequence[Any]) -> Iterator[tuple[float, int]]:
        """Make and count a step for each turn, and yield its mean loss and its number of samples.
        If the steps took little time, the next call makes more of them."""
        first, began = self.step + 1, time.perf_counter()
        rates = [self.rate_at(first + number) for number in range(len(turns))]
        self._rate = rates[-1]
        if not isinstance(self._steps, ManySteps):
            self.step += 1  # which a trainer may correct
            yield self._steps.take(turns[0], rates[0], first)
            return
        found = self._steps.take_all(turns, rates, first)
        if time.perf_counter() - began < BURST_SECONDS / 2:
            self._burst = max(self._burst, min(2 * len(turns), MOST_STEPS))
        else:
            self._burst = max(1, len(turns) // 2)
        for one in found:
            self.step += 1
            yield one

    def _update_topology(
        self, epoch: int, upcoming: Any, *, epoch_ended: bool
    ) -> tuple[float, int] | None:
        """Prune and update the topology if due, and call the observers.

        upcoming  the next turn, whose mini-batch a method may use

        If the method replaces the step of that turn, returns the turn's loss summed over its
        samples, and their number; else None.
        """
        per_epoch = self._steps.per_epoch
        step = TrainingStep(epoch, self.work.epochs, self.step, per_epoch, epoch_ended)
        replaced = self._updated(step, upcoming) if self.updater.due(step) else None
        self.observers.look(step)
        if replaced is not None:
            self.step += 1
            self.observers.look(_step_at(self.work.epochs, per_epoch, self.step))
        return replaced

    def _updated(self, step: TrainingStep, upcoming: Any) -> tuple[float, int] | None:
        seen: list[tuple[float, int]] = []

        def observe() -> list[LayerSignals]:
            assert isinstance(self._steps, ObservedSteps)
            loss, samples, signals = self._steps.observe(upcoming, self.step + 1)
            seen.append((loss * samples, samples))
            return signals

        with self.work.meter.phase("topology"), self._timers("topology"):
            self.updater.update(step, observe, self._validate)
        return seen[0] if seen and self.updater.replaces_step else None

    def update_once(self, topology: Topology, epoch: int) -> None:
        """Update the topology once at the end of this epoch, by another method, whether due or
        not."""
        per_epoch = self._steps.per_epoch
        step = TrainingStep(epoch, self.work.epochs, self.step, per_epoch, True)
        upcoming = next(self._steps.turns(epoch + 1, 0), None)
        with self.updater.using_method(topology):
            self._updated(step, upcoming)

    def _validate(self) -> Validation:
        """Loss and score on the validation samples, at the current weights."""
        work = self.work
        assert work.data.validation is not None
        primary = work.objective.scores[0]
        with work.meter.phase("eval"), self._timers("eval"):
            loss, found = evaluate(
                self.network, work.data.validation, work.data.targets, work.batch_size
            )
        return Validation(loss, found[primary.name] * (-1 if primary.better == -1 else 1))

    def close_epoch(self, epoch: int, *, tested: bool = True, **known: Any) -> EpochRecord:
        """Make and report the record of the epoch that has ended.

        tested  whether the network is evaluated; never after the loss became nan or inf
        known   fields of the record, which replace those found here
        """
        work = self.work
        test_loss, scored = None, dict[str, float]()
        if tested and not self.diverged:
            with work.meter.phase("eval"), self._timers("eval"):
                test_loss, scored = self._evaluate()
        metrics, layer_metrics = self.observers.values()
        if self._compact_every is not None:
            whole, of_layers = sizes(self.network)
            metrics, layer_metrics = {**metrics, **whole}, {**layer_metrics, **of_layers}
        self._time_parts()
        spent = self._timers.take()
        seconds: dict[str, Any] = {f"{name}_seconds": spent.get(name, 0.0) for name in TIMED}
        parts = {f"{name}_seconds": spent[name] for name in STEP_PARTS if name in spent}
        found = EpochRecord(
            epoch=epoch,
            train_loss=self._loss,
            test_loss=test_loss,
            learning_rate=self._rate,
            connections=[layer.nnz for layer in self.network.layers],
            **asdict(self.updater.take_counts()),
            **seconds,
            metrics={**parts, **metrics},
            layer_metrics=layer_metrics,
            rss_bytes=work.meter.rss(),
        )
        record = replace(found.with_metrics(scored), **known)
        self.records.append(record)
        work.report(record)
        return record

    def _time_parts(self) -> None:
        """Give the timers the seconds that compiled steps counted by themselves."""
        if isinstance(self.network, TrainsManySteps):
            for part, seconds in self.network.take_seconds().items():
                self._timers.add(part, seconds)

    def _evaluate(self) -> tuple[float, dict[str, float]]:
        """The test loss, and the metrics by column: their names with the prefix `test_` or
        `validation_`."""
        data, size = self.work.data, self.work.batch_size
        loss, found = evaluate(self.network, data.test, data.targets, size)
        metrics = {f"test_{name}": value for name, value in found.items()}
        if data.validation is not None:
            _, found = evaluate(self.network, data.validation, data.targets, size)
            metrics |= {f"validation_{name}": value for name, value in found.items()}
        return loss, metrics

    # --- checkpoints ------------------------------------------------------------------

    def resume(self) -> None:
        """Resume from the checkpoint, if there is one."""
        found = self.work.keeper.found if self.work.keeper is not None else None
        if found is None:
            return
        facts = found.facts
        self.begin = Position(**facts["position"])
        self.step = self.begin.step
        self.started = facts["started"]
        self.records = [EpochRecord.from_json(line) for line in facts["epochs"]]
        for name, seconds in facts["laps"].items():
            self._timers.add(name, seconds)
        self.updater.restore(found, Counts(**facts["counts"]), self.started)
        self.observers.restore(found)

    def _keep_if_due(self, at: Position) -> None:
        """If a checkpoint is due, write one with which training would resume `at` this position."""
        keeper = self.work.keeper
        if keeper is None or not keeper.due():
            return
        self._time_parts()
        facts = {
            "position": asdict(at),
            "started": self.started,
            "epochs": [record.to_json() for record in self.records],
            "laps": self._timers.so_far(),
            "counts": asdict(self.updater.counts),
        }
        with self.work.meter.phase("checkpoint"):
            keeper.keep(
                facts,
                chain(network_arrays(self.network), self.updater.saved(), self.observers.saved()),
            )


def _call_all(callbacks: Sequence[OnChange], index: int, change: Change) -> None:
    """Call several callbacks. A function and not a method, because a reference cycle with
    `Training` would keep its network in memory after training has ended."""
    for callback in callbacks:
        callback(index, change)


def _step_at(epochs: int, per_epoch: int, t: int) -> TrainingStep:
    """The position of step t in training."""
    return TrainingStep(1 + (t - 1) // per_epoch, epochs, t, per_epoch, False)
