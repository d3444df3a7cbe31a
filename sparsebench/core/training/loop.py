"""The one training loop."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from sparsebench.core.arrays import Matrix, Rows
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.methods.update import Counts, OnChange, TopologyUpdater
from sparsebench.core.metric import Metric
from sparsebench.core.protocols import LayerSignals, Network, Observable
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.build import build_network
from sparsebench.core.training.evaluate import evaluate
from sparsebench.core.training.observing import Observers
from sparsebench.core.training.position import Position, network_arrays
from sparsebench.core.training.timers import Timers
from sparsebench.core.training.work import EpochRecord, Result, Work
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator

Target = npt.NDArray[Any]


def train(work: Work) -> Result:
    """Build the network and train it; every epoch is reported as it ends.

    Timed apart: batches (data), steps (train), topology updates, evaluation, checkpoints. Stops
    where the loss is no longer finite. With a checkpoint to resume from, the epochs that it holds
    are reported first.
    """
    with work.meter.phase("build"):
        network = build_network(work)
        training = Training(work, network, Batches(work, network))
        training.take_up()
    for record in training.records:
        work.report(record)
    training.run(training.begin.epoch, work.epochs)
    return training.result()


class Steps(Protocol):
    """Who makes the steps of training. A turn is what one step needs to know."""

    timers: Timers

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""

    def turns(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of an epoch, or what a trainer has in their place, from sample `start` on."""

    def take(self, turn: Any, rate: float, t: int) -> tuple[float, int]:
        """Make step t; the mean loss before the update, and over how many samples."""


@runtime_checkable
class ObservedSteps(Protocol):
    """Steps whose samples are at hand, so that a topology method can look at a mini-batch."""

    def observe(self, turn: Any, t: int) -> tuple[float, int, list[LayerSignals]]:
        """The mean loss, its number of samples and each layer's signals, as step t would see them.

        Nothing is updated.
        """


class Batches:
    """The steps of one process: a batch each, every sample once an epoch.

    stream  numbers behind the seed and "shuffle" that name the order of the samples, besides the
            epoch
    """

    def __init__(self, work: Work, network: Network, stream: tuple[int, ...] = ()) -> None:
        self.timers = Timers()
        self._work = work
        self._network = network
        self._stream = stream
        self._epoch = 0

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self._work.data.train) / self._work.batch_size)

    def turns(self, epoch: int, start: int) -> Iterator[Rows]:
        self._epoch = epoch
        rng = generator(self._work.seed, "shuffle", epoch, *self._stream)
        order = rng.permutation(len(self._work.data.train))
        for at in range(start, order.size, self._work.batch_size):
            yield order[at : at + self._work.batch_size]

    def take(self, turn: Rows, rate: float, t: int) -> tuple[float, int]:
        X, T = self.batch(turn)
        with self.timers("train"):
            return self._network.train_step(X, T, rate, t), turn.size

    def observe(self, turn: Rows, t: int) -> tuple[float, int, list[LayerSignals]]:
        assert isinstance(self._network, Observable)
        X, T = self.batch(turn)
        loss, signals = self._network.observe(X, T, t)
        return loss, turn.size, signals

    def batch(self, rows: Rows) -> tuple[Matrix, Target]:
        with self.timers("data"):
            return self._work.data.train.batch(rows, self._epoch)


class Training:
    """A network in training: its steps, the updates of its topology, and its records.

    begin    where training begins        started  connections of each layer at its very start
    step     steps done, from the start   records  of the epochs so far
    updater  of the topology
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
        """seed    of the topology's draws, the trial's unless given
        on_change  called with the index of a layer and each change of its connections
        scaled  maps the schedule's rate at step t to the one used
        """
        self.work = work
        self.network = network
        self.diverged = False
        self.records: list[EpochRecord] = []
        self.begin = Position()
        self.step = 0
        self.started = [layer.nnz for layer in network.layers]
        self.observers = Observers(work.observers, network, work.meter, steps.timers)
        self.updater = TopologyUpdater(
            network,
            work.topology,
            work.pruning,
            work.model.initializer,
            work.optimizer,
            work.seed if seed is None else seed,
            self.observers.on_change
            if on_change is None
            else _both(on_change, self.observers.on_change),
        )
        if self.updater.needs_batch and not isinstance(steps, ObservedSteps):
            refuse_signals(work, "this trainer")
        self.updater.watch(
            partial(_step_at, work.epochs, steps.per_epoch), partial(steps.timers, "topology")
        )
        self._steps = steps
        self._timers = steps.timers
        self._scaled = scaled
        self._rate = work.optimizer.learning_rate
        self._loss = 0.0

    def run(self, first: int, last: int, *, tested: bool = True) -> None:
        """Epochs from `first` to `last`, or until the loss is no longer finite; each is reported.

        tested  whether the network is evaluated at the end of each
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

    def take_up(self) -> None:
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

    def result(self) -> Result:
        return _result(self.work, self.network, self)

    def _keep_if_due(self, at: Position) -> None:
        """Make a checkpoint if one is due; training would resume from it `at` this position."""
        keeper = self.work.keeper
        if keeper is None or not keeper.due():
            return
        facts = {
            "position": at.to_json(),
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

    def _train_epoch(self, epoch: int) -> None:
        """Run every step; between two of them, update the topology and checkpoint where due."""
        begin = self.begin if self.begin.epoch == epoch else Position()
        losses, done = begin.losses, begin.start
        turns = self._steps.turns(epoch, begin.start)
        turn = next(turns, None)
        while turn is not None:
            self.step += 1
            self._rate = self.rate_at(self.step)
            loss, samples = self._steps.take(turn, self._rate, self.step)
            losses, done = losses + loss * samples, done + samples
            if not math.isfinite(loss):
                self.diverged = True
                self._loss = loss
                return
            self.work.progress(epoch, self.step, loss)
            turn = next(turns, None)
            if turn is None:
                break
            replaced = self._update_topology(epoch, turn, epoch_ended=False)
            if replaced is not None:
                losses, done = losses + replaced[0], done + replaced[1]
                turn = next(turns, None)
            self._keep_if_due(Position(epoch=epoch, start=done, step=self.step, losses=losses))
        self._loss = losses / done
        self._close_topology(epoch)

    def _close_topology(self, epoch: int) -> None:
        """The update at the end of an epoch, which may look at the first batch of the next."""
        upcoming = None
        if epoch < self.work.epochs and self.updater.needs_batch:
            upcoming = next(self._steps.turns(epoch + 1, 0), None)
        replaced = self._update_topology(epoch, upcoming, epoch_ended=True)
        if replaced is not None:
            loss, samples = replaced
            self.begin = Position(epoch=epoch + 1, start=samples, step=self.step, losses=loss)

    def rate_at(self, t: int) -> float:
        """The learning rate at step t."""
        optimizer, per_epoch = self.work.optimizer, self._steps.per_epoch
        factor = optimizer.schedule.factor(t, self.work.epochs * per_epoch, per_epoch)
        rate = optimizer.learning_rate * factor
        return rate if self._scaled is None else self._scaled(rate, t)

    def _update_topology(
        self, epoch: int, upcoming: Any, *, epoch_ended: bool
    ) -> tuple[float, int] | None:
        """Prune and update the topology where that is due.

        upcoming  the turn that is to be trained on next; a method may look at it
        Returns the summed loss and the samples of that turn if the method took its place.
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
            self.updater.update(step, observe)
        return seen[0] if seen and self.updater.replaces_step else None

    def close_epoch(self, epoch: int, *, tested: bool = True, **known: Any) -> EpochRecord:
        """Evaluate and report the epoch's record; `known` replaces fields of it."""
        work = self.work
        test_loss, scored = None, dict[str, float]()
        if tested and not self.diverged:
            with work.meter.phase("eval"), self._timers("eval"):
                test_loss, scored = self._evaluate()
        metrics, layer_metrics = self.observers.values()
        counts, seconds = self.updater.take_counts(), self._timers.take()
        found = EpochRecord(
            epoch=epoch,
            train_loss=self._loss,
            test_loss=test_loss,
            learning_rate=self._rate,
            connections=[layer.nnz for layer in self.network.layers],
            dropped=counts.dropped,
            grown=counts.grown,
            pruned=counts.pruned,
            data_seconds=seconds.get("data", 0.0),
            train_seconds=seconds.get("train", 0.0),
            topology_seconds=seconds.get("topology", 0.0),
            eval_seconds=seconds.get("eval", 0.0),
            observe_seconds=seconds.get("observe", 0.0),
            metrics=metrics,
            layer_metrics=layer_metrics,
            rss_bytes=work.meter.rss(),
        )
        record = replace(found.with_metrics(scored), **known)
        self.records.append(record)
        work.report(record)
        return record

    def _evaluate(self) -> tuple[float, dict[str, float]]:
        """Test loss, and metrics by column: `test_` and `validation_` before their names."""
        work, data = self.work, self.work.data
        loss, found = evaluate(self.network, data.test, data.targets, work.batch_size)
        metrics = {f"test_{name}": value for name, value in found.items()}
        if data.validation is not None:
            _, found = evaluate(self.network, data.validation, data.targets, work.batch_size)
            metrics |= {f"validation_{name}": value for name, value in found.items()}
        return loss, metrics


def _both(first: OnChange, second: OnChange) -> OnChange:
    """One callback for two. It holds no `Training`: a cycle of references would keep the network
    of a training that has ended."""

    def on_change(index: int, change: Change) -> None:
        first(index, change)
        second(index, change)

    return on_change


def _step_at(epochs: int, per_epoch: int, t: int) -> TrainingStep:
    """Step t, as if it were within its epoch."""
    return TrainingStep(1 + (t - 1) // per_epoch, epochs, t, per_epoch, False)


def refuse_signals(work: Work, trainer: str) -> None:
    """Raise Unsupported, before training, for a trainer that updates the topology where it has
    neither samples nor the optimizer's state.

    trainer  as the message calls it
    """
    needs = work.topology.needs
    if needs.every_step or needs.signals:
        seen = " and ".join(sorted(needs.signals)) or "every training step"
        raise Unsupported(
            f"{type(work.topology).__name__} looks at {seen}, and {trainer} updates the topology "
            "where there is none; use a trainer of one process"
        )


def epoch_seconds(epochs: Sequence[EpochRecord]) -> float:
    """The median time of an epoch's batches and steps, plus the median time of its topology
    updates over the epochs that had one: a schedule that skips most epochs does not hide them."""
    steps = statistics.median(epoch.data_seconds + epoch.train_seconds for epoch in epochs)
    updates = [epoch.topology_seconds for epoch in epochs if epoch.topology_seconds > 0]
    return steps + (statistics.median(updates) if updates else 0.0)


def _result(work: Work, network: Network, run: Training) -> Result:
    epochs, last = run.records, run.records[-1]
    shapes = [layer.shape for layer in network.layers]
    possible = sum(K * D for K, D in shapes)
    connections = sum(last.connections)
    train_seconds = sum(epoch.train_seconds for epoch in epochs)
    stored = network.stored_bytes()
    measures: dict[str, float | int | None] = {
        "neurons": work.data.features + sum(K for K, _ in shapes),
        "initial_connections": sum(run.started),
        "connections": connections,
        "dense_connections": possible,
        "density": connections / possible,
        **scores(work.objective.scores, epochs),
        "train_loss": last.train_loss,
        "test_loss": last.test_loss,
        "train_seconds": train_seconds,
        "topology_seconds": sum(epoch.topology_seconds for epoch in epochs),
        "eval_seconds": sum(epoch.eval_seconds for epoch in epochs),
        "observe_seconds": sum(epoch.observe_seconds for epoch in epochs),
        "data_seconds": sum(epoch.data_seconds for epoch in epochs),
        "epoch_seconds": epoch_seconds(epochs),
        "samples_per_second": len(work.data.train) * len(epochs) / train_seconds,
        "stored_bytes": sum(stored.values()),
        "bytes_sent": 0,
        **last.numbers(),
    }
    layers = [
        {
            "shape": list(layer.shape),
            "initial_connections": first,
            "connections": layer.nnz,
            "stored_bytes": layer.stored_bytes(),
        }
        for layer, first in zip(network.layers, run.started, strict=True)
    ]
    return Result(
        measures=measures, layers=layers, network=network, diverged=run.diverged, epochs=epochs
    )


def scores(scored: Sequence[Metric], epochs: Sequence[EpochRecord]) -> dict[str, float | None]:
    """Each score after the last epoch, by column. For the first score, which is the primary one,
    also the best of all epochs, and the test score of the epoch with the best validation."""
    last, found = epochs[-1], dict[str, float | None]()
    for number, score in enumerate(scored):
        test, validation = f"test_{score.name}", f"validation_{score.name}"
        found[test], found[validation] = last.value(test), last.value(validation)
        if number == 0:
            found[f"best_{test}"] = _best(epochs, test, test, score.better)
            found[f"selected_{test}"] = _best(epochs, validation, test, score.better)
    return found


def _best(epochs: Sequence[EpochRecord], by: str, column: str, better: int) -> float | None:
    """The value of `column` in the first epoch in which `by` is best."""
    known = [(value, e) for e in epochs if (value := e.value(by)) is not None]
    best = max(known, key=lambda one: better * one[0], default=None)
    return best[1].value(column) if best is not None else None
