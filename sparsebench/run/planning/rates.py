"""Seconds of an epoch from what a backend took for layers of a few sizes in the same run."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.core.ladder import Ladder, Point
from sparsebench.core.sizes import LayerSize
from sparsebench.core.trial import Trial, canonical
from sparsebench.run.planning.predict import Outline

POINTS = 4
LARGEST = 16_000_000
"""Connections of the largest layer that is tried; larger ones cost as much by connection."""

SMALLEST = 2_000
EPOCHS = 1_000
"""The median epoch of a longer training is that of its first so many."""


@dataclass(frozen=True)
class Rates:
    """Points of one ladder, from small to large."""

    batch: int
    truly_sparse: bool
    points: tuple[Point, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rates:
        points = tuple(Point(**point) for point in data["points"])
        return cls(int(data["batch"]), bool(data["truly_sparse"]), points)

    def work(self, layer: LayerSize) -> int:
        K, D = layer.shape
        return layer.nnz if self.truly_sparse else K * D

    def at(self, work: int, name: str) -> float:
        """Straight between the points of a log-log plot; beyond the last as much a connection
        as from the first point to the last, so that what a call costs anyway does not grow."""
        xs = [math.log(point.work) for point in self.points]
        ys = [math.log(max(getattr(point, name), 1e-9)) for point in self.points]
        x = math.log(max(work, 1))
        if x >= xs[-1]:
            first, last = self.points[0], self.points[-1]
            if first is last:
                return math.exp(ys[-1] + x - xs[-1])
            risen = max(0.0, getattr(last, name) - getattr(first, name))
            slope = risen / (last.work - first.work)
            return float(getattr(last, name) + slope * (work - last.work))
        right = min(max(1, bisect.bisect(xs, x)), len(xs) - 1)
        if right == 0 or xs[right] == xs[right - 1]:
            return math.exp(ys[0] + min(0.0, x - xs[0]))
        slope = (ys[right] - ys[right - 1]) / (xs[right] - xs[right - 1])
        slope = min(max(slope, 0.0), 1.0) if x < xs[0] else slope
        return math.exp(ys[right - 1] + slope * (x - xs[right - 1]))

    def unit(self, neurons: int) -> float:
        nearest = min(self.points, key=lambda point: abs(math.log(point.neurons / neurons)))
        return nearest.unit * max(neurons / nearest.neurons, 0.1)


def epoch_seconds(of: Outline, rates: Rates) -> float:
    """The median over epochs of training, plus that of topology updates over the epochs that have
    one, as a record has it; without the assembling of batches, which nobody timed."""
    layers = of.network.layers
    works = [rates.work(layer) for layer in layers]
    step = sum(
        rates.at(work, "forward")
        + rates.at(work, "backward_first" if layer.first else "backward")
        + (0.0 if layer.last else rates.unit(layer.shape[0]))
        for layer, work in zip(layers, works, strict=True)
    )
    train = step * of.data.train / of.network.batches[0]
    begin = sum(rates.at(work, "begin") for work in works)
    moved = of.topology.moved([layer.nnz for layer in layers])
    update = sum(rates.at(work, "update") for work, count in zip(works, moved) if count)
    epochs = range(1, min(of.epochs, EPOCHS) + 1)
    steps = statistics.median(train + (begin if epoch == 1 else 0.0) for epoch in epochs)
    counts = [of.topology.updates(epoch, of.epochs, of.steps) for epoch in epochs]
    updates = [update * count for count in counts if count]
    return steps + (statistics.median(updates) if updates else 0.0)


# --- what has to be timed ------------------------------------------------------------


@dataclass(frozen=True)
class Errand:
    """A process that times a backend: its ladders, and a trial with the rest of its parts."""

    trial: Trial
    ladders: tuple[Ladder, ...]


def errand_key(trial: Trial) -> str:
    """Trials of one key differ in what a ladder spans."""
    model = {key: value for key, value in trial.model.items() if key != "hidden"}
    return canonical([trial.backend, trial.optimizer, model, trial.threads])


def errands(outlines: Sequence[tuple[Trial, Outline]]) -> dict[str, Errand]:
    """What to time for these trials, by `errand_key`; with a topology that moves if one does."""
    groups: dict[str, list[tuple[Trial, Outline]]] = {}
    for trial, of in outlines:
        groups.setdefault(errand_key(trial), []).append((trial, of))
    return {
        key: Errand(max(group, key=_moves)[0], tuple(_ladders([of for _, of in group])))
        for key, group in groups.items()
    }


def _moves(pair: tuple[Trial, Outline]) -> bool:
    of = pair[1]
    return any(of.topology.moved([layer.nnz for layer in of.network.layers]))


def _ladders(group: Sequence[Outline]) -> list[Ladder]:
    found = []
    for batch in sorted({of.network.batches[0] for of in group}):
        layers = [
            layer for of in group if of.network.batches[0] == batch for layer in of.network.layers
        ]
        works = [of_work(group[0], layer) for layer in layers]
        low = max(SMALLEST, min(works))
        high = max(low, min(LARGEST, max(works)))
        grid = {round(low * (high / low) ** (i / (POINTS - 1))) for i in range(POINTS)}
        per_neuron = statistics.median(layer.nnz / sum(layer.shape) for layer in layers)
        found.append(Ladder(batch, tuple(sorted(grid)), per_neuron))
    return found


def of_work(of: Outline, layer: LayerSize) -> int:
    return of.backend.work(layer) if of.backend is not None else layer.nnz
