"""Computes the result of a training from the records of its epochs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sparsebench.core.metric import EPOCH_PARTS, STEP_PARTS, Metric
from sparsebench.core.protocols import Network
from sparsebench.core.training.work import TIMED, EpochRecord, Result, Work


def result_of(
    work: Work,
    network: Network,
    epochs: list[EpochRecord],
    started: Sequence[int],
    diverged: bool,
) -> Result:
    """The result of a training: its measures by column, and those of its layers.

    started  number of connections of each layer at the start
    """
    last = epochs[-1]
    shapes = [layer.shape for layer in network.layers]
    declared = work.model.shapes(work.data.features, work.data.outputs)
    possible = sum(K * D for K, D in declared)
    connections, samples = sum(last.connections), len(work.data.train)
    seconds = {
        f"{name}_seconds": sum(getattr(epoch, f"{name}_seconds") for epoch in epochs)
        for name in TIMED
    }
    measures: dict[str, float | int | None] = {
        "neurons": work.data.features + sum(K for K, _ in shapes),
        "initial_connections": sum(started),
        "connections": connections,
        "dense_connections": possible,
        "density": connections / possible,
        **scores(work.objective.scores, epochs),
        "train_loss": last.train_loss,
        "test_loss": last.test_loss,
        **seconds,
        "epoch_seconds": epoch_seconds(epochs),
        "samples_per_second": samples * len(epochs) / sum(seconds[part] for part in EPOCH_PARTS),
        "train_samples": samples,
        "stored_bytes": sum(network.stored_bytes().values()),
        "bytes_sent": 0,
        **last.numbers(),
        **_parts_of_steps(epochs),
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
        measures=measures, layers=layers, network=network, diverged=diverged, epochs=epochs
    )


def _parts_of_steps(epochs: Sequence[EpochRecord]) -> dict[str, float]:
    """The seconds of each part of compiled steps in all epochs; empty if an epoch has none."""
    found = {}
    for name in (f"{part}_seconds" for part in STEP_PARTS):
        seconds = [value for epoch in epochs if (value := epoch.value(name)) is not None]
        if len(seconds) == len(epochs):
            found[name] = sum(seconds)
    return found


def epoch_seconds(epochs: Sequence[EpochRecord]) -> float:
    """The median time of an epoch's batches and steps, plus the median time of its topology
    updates. The second median is taken over epochs with an update, so that updates in few epochs
    count too."""
    steps = statistics.median(epoch.data_seconds + epoch.train_seconds for epoch in epochs)
    updates = [epoch.topology_seconds for epoch in epochs if epoch.topology_seconds > 0]
    return steps + (statistics.median(updates) if updates else 0.0)


def scores(scored: Sequence[Metric], epochs: Sequence[EpochRecord]) -> dict[str, float | None]:
    """Each score after the last epoch, by column. The first score is the primary one: for it, also
    the best of all epochs, and the test score of the epoch with the best validation score."""
    last, found = epochs[-1], dict[str, float | None]()
    for number, score in enumerate(scored):
        test, validation = f"test_{score.name}", f"validation_{score.name}"
        found[test], found[validation] = last.value(test), last.value(validation)
        if number == 0:
            found[f"best_{test}"] = _best(epochs, test, test, score.better)
            found[f"selected_{test}"] = _best(epochs, validation, test, score.better)
    return found


def _best(epochs: Sequence[EpochRecord], by: str, column: str, better: int) -> float | None:
    """The value of `column` in the first epoch in which `by` is best; None if `by` is never known.

    better  1 if more is better, -1 if less is
    """
    known = [(value, e) for e in epochs if (value := e.value(by)) is not None]
    best = max(known, key=lambda one: better * one[0], default=None)
    return best[1].value(column) if best is not None else None
