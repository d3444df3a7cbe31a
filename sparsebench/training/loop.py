"""The one training loop."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from sparsebench.protocols import Network
from sparsebench.seeds import generator
from sparsebench.training.build import build_network
from sparsebench.training.evaluate import evaluate
from sparsebench.training.evolution import Evolution
from sparsebench.training.laps import Laps
from sparsebench.training.moment import Moment
from sparsebench.training.work import EpochRecord, Result, Work


def train(work: Work) -> Result:
    """Build the network and train it; every epoch is reported as it ends.

    Timed apart: batches (data), steps (train), topology updates, evaluation. Stops where the
    loss is no longer finite.
    """
    with work.meter.phase("build"):
        network = build_network(work)
        started = [layer.nnz for layer in network.layers]
    run = _Run(work, network)
    for epoch in range(1, work.epochs + 1):
        with work.meter.phase("train"):
            run.train_epoch(epoch)
        record = run.finish_epoch(epoch)
        work.report(record)
        if run.diverged:
            break
    return _result(work, network, run, started)


@dataclass
class _Run:
    """A network in training."""

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
        self._t = 0
        self._rate = work.optimizer.learning_rate
        self._loss = 0.0

    def train_epoch(self, epoch: int) -> None:
        """Every sample once, in an order that depends on seed and epoch alone."""
        work, samples = self.work, self.work.data.train
        order = generator(work.seed, "shuffle", epoch).permutation(samples.labels.size)
        losses = 0.0
        for start in range(0, order.size, work.batch_size):
            rows = order[start : start + work.batch_size]
            with self._laps("data"):
                X, y = samples.batch(rows), samples.labels[rows]
            loss = self._step(X, y)
            losses += loss * rows.size
            if not math.isfinite(loss):
                self.diverged = True
                self._loss = loss
                return
            work.progress(epoch, self._t, loss)
            if start + work.batch_size < order.size:
                self._evolve(epoch, epoch_ended=False)
        self._loss = losses / order.size
        self._evolve(epoch, epoch_ended=True)

    def _step(self, X: np.ndarray, y: np.ndarray) -> float:
        self._t += 1
        optimizer = self.work.optimizer
        steps = self.work.epochs * self._steps_per_epoch
        factor = optimizer.schedule.factor(self._t, steps, self._steps_per_epoch)
        self._rate = optimizer.learning_rate * factor
        start = time.perf_counter()
        loss = self.network.train_step(X, y, self._rate, self._t)
        self._laps.add("train", time.perf_counter() - start)
        return loss

    def _evolve(self, epoch: int, *, epoch_ended: bool) -> None:
        moment = Moment(epoch, self.work.epochs, self._t, self._steps_per_epoch, epoch_ended)
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
