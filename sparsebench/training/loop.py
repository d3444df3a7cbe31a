"""The one training loop."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict, dataclass, field
from itertools import chain

import numpy as np

from sparsebench.protocols import Network
from sparsebench.seeds import generator
from sparsebench.training.build import build_network
from sparsebench.training.evaluate import evaluate
from sparsebench.training.evolution import Counts, Evolution
from sparsebench.training.laps import Laps
from sparsebench.training.moment import Moment
from sparsebench.training.resuming import Position, network_arrays
from sparsebench.training.work import EpochRecord, Result, Work


def train(work: Work) -> Result:
    """Build the network and train it; every epoch is reported as it ends.

    Timed apart: batches (data), steps (train), topology updates, evaluation, checkpoints. Stops
    where the loss is no longer finite. With a checkpoint to go on from, the epochs that it holds
    are reported first.
    """
    with work.meter.phase("build"):
        network = build_network(work)
        run = _Run(work, network)
        run.take_up()
    for record in run.epochs:
        work.report(record)
    for epoch in range(run.begin.epoch, work.epochs + 1):
        with work.meter.phase("train"):
            run.train_epoch(epoch)
        record = run.finish_epoch(epoch)
        work.report(record)
        if run.diverged:
            break
        if epoch < work.epochs:
            run.keep_if_due(Position(epoch=epoch + 1, step=run.step))
    return _result(work, network, run, run.started)


@dataclass
class _Run:
    """A network in training.

    begin  where training begins       started  connections of each layer at its very start
    step   steps done, from the start
    """

    work: Work
    network: Network
    diverged: bool = False
    epochs: list[EpochRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        work = self.work
        self._laps = Laps()
        self._evolution = Evolution(
            self.network, work.topology, work.pruning, work.model.initializer, work.seed
        )
        samples = work.data.train.labels.size
        self._steps_per_epoch = math.ceil(samples / work.batch_size)
        self.begin = Position()
        self.step = 0
        self.started = [layer.nnz for layer in self.network.layers]
        self._rate = work.optimizer.learning_rate
        self._loss = 0.0

    def take_up(self) -> None:
        """Go on where the checkpoint was made, if there is one."""
        found = self.work.keeper.found if self.work.keeper is not None else None
        if found is None:
            return
        facts = found.facts
        self.begin = Position(**facts["position"])
        self.step = self.begin.step
        self.started = facts["started"]
        self.epochs = [EpochRecord.from_json(line) for line in facts["epochs"]]
        for name, seconds in facts["laps"].items():
            self._laps.add(name, seconds)
        self._evolution.restore(found, Counts(**facts["counts"]))

    def keep_if_due(self, at: Position) -> None:
        """A checkpoint, if it is time for one; `at` is where to go on from it."""
        keeper = self.work.keeper
        if keeper is None or not keeper.due():
            return
        facts = {
            "position": at.to_json(),
            "started": self.started,
            "epochs": [record.to_json() for record in self.epochs],
            "laps": self._laps.so_far(),
            "counts": asdict(self._evolution.counts),
        }
        with self.work.meter.phase("checkpoint"):
            keeper.keep(facts, chain(network_arrays(self.network), self._evolution.saved()))

    def train_epoch(self, epoch: int) -> None:
        """Every sample once, in an order that depends on seed and epoch alone."""
        work, samples = self.work, self.work.data.train
        order = generator(work.seed, "shuffle", epoch).permutation(samples.labels.size)
        begin = self.begin if self.begin.epoch == epoch else Position()
        losses = begin.losses
        for start in range(begin.start, order.size, work.batch_size):
            rows = order[start : start + work.batch_size]
            with self._laps("data"):
                X, y = samples.batch(rows), samples.labels[rows]
            loss = self._step(X, y)
            losses += loss * rows.size
            if not math.isfinite(loss):
                self.diverged = True
                self._loss = loss
                return
            work.progress(epoch, self.step, loss)
            done = start + work.batch_size
            if done < order.size:
                self._evolve(epoch, epoch_ended=False)
                self.keep_if_due(Position(epoch=epoch, start=done, step=self.step, losses=losses))
        self._loss = losses / order.size
        self._evolve(epoch, epoch_ended=True)

    def _step(self, X: np.ndarray, y: np.ndarray) -> float:
        self.step += 1
        optimizer, t = self.work.optimizer, self.step
        steps = self.work.epochs * self._steps_per_epoch
        factor = optimizer.schedule.factor(t, steps, self._steps_per_epoch)
        self._rate = optimizer.learning_rate * factor
        start = time.perf_counter()
        loss = self.network.train_step(X, y, self._rate, t)
        self._laps.add("train", time.perf_counter() - start)
        return loss

    def _evolve(self, epoch: int, *, epoch_ended: bool) -> None:
        moment = Moment(epoch, self.work.epochs, self.step, self._steps_per_epoch, epoch_ended)
        if self._evolution.due(moment):
            with self.work.meter.phase("topology"), self._laps("topology"):
                self._evolution.update(moment)

    def finish_epoch(self, epoch: int) -> EpochRecord:
        work, data = self.work, self.work.data
        test_loss = test_accuracy = validation_accuracy = None
        if not self.diverged:
            with work.meter.phase("eval"), self._laps("eval"):
                test_loss, test_accuracy = evaluate(self.network, data.test, work.batch_size)
                if data.validation is not None:
                    _, validation_accuracy = evaluate(
                        self.network, data.validation, work.batch_size
                    )
        counts, seconds = self._evolution.take_counts(), self._laps.take()
        record = EpochRecord(
            epoch=epoch,
            train_loss=self._loss,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            validation_accuracy=validation_accuracy,
            learning_rate=self._rate,
            connections=[layer.nnz for layer in self.network.layers],
            dropped=counts.dropped,
            grown=counts.grown,
            pruned=counts.pruned,
            data_seconds=seconds.get("data", 0.0),
            train_seconds=seconds.get("train", 0.0),
            topology_seconds=seconds.get("topology", 0.0),
            eval_seconds=seconds.get("eval", 0.0),
            rss_bytes=work.meter.rss(),
        )
        self.epochs.append(record)
        return record


def _result(work: Work, network: Network, run: _Run, started: list[int]) -> Result:
    epochs, last = run.epochs, run.epochs[-1]
    shapes = [layer.shape for layer in network.layers]
    possible = sum(K * D for K, D in shapes)
    connections = sum(last.connections)
    train_seconds = sum(epoch.train_seconds for epoch in epochs)
    tested = [e.test_accuracy for e in epochs if e.test_accuracy is not None]
    validated = [e for e in epochs if e.validation_accuracy is not None]
    selected = max(validated, key=lambda e: e.validation_accuracy or 0.0, default=None)
    stored = network.stored_bytes()
    measures: dict[str, float | int | None] = {
        "neurons": work.data.features + sum(K for K, _ in shapes),
        "initial_connections": sum(started),
        "connections": connections,
        "dense_connections": possible,
        "density": connections / possible,
        "test_accuracy": last.test_accuracy,
        "best_test_accuracy": max(tested, default=None),
        "validation_accuracy": last.validation_accuracy,
        "selected_test_accuracy": selected.test_accuracy if selected is not None else None,
        "train_loss": last.train_loss,
        "test_loss": last.test_loss,
        "train_seconds": train_seconds,
        "topology_seconds": sum(epoch.topology_seconds for epoch in epochs),
        "eval_seconds": sum(epoch.eval_seconds for epoch in epochs),
        "data_seconds": sum(epoch.data_seconds for epoch in epochs),
        "epoch_seconds": statistics.median(e.train_seconds + e.topology_seconds for e in epochs),
        "samples_per_second": work.data.train.labels.size * len(epochs) / train_seconds,
        "stored_bytes": sum(stored.values()),
        "bytes_sent": 0,
    }
    layers = [
        {
            "shape": list(layer.shape),
            "initial_connections": first,
            "connections": layer.nnz,
            "stored_bytes": layer.stored_bytes(),
        }
        for layer, first in zip(network.layers, started, strict=True)
    ]
    return Result(
        measures=measures, layers=layers, network=network, diverged=run.diverged, epochs=epochs
    )
