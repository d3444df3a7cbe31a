"""What a trial needs before it runs: memory from declared sizes, seconds from timed layers.

A process times layers of a few sizes for each backend, optimizer and number of threads
(core/worker/layer_timing.py); the seconds of any other layer lie between theirs.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.core.job import Ladder, Point
from sparsebench.core.trial import Trial, canonical
from sparsebench.registry import Plugins
from sparsebench.run.planning.outline import Outline, outline
from sparsebench.units import brief_size

POINTS = 4
LARGEST = 16_000_000
"""Connections of the largest layer that is tried; larger ones cost as much by connection."""

SMALLEST = 2_000
EPOCHS = 1_000
"""The median epoch of a longer training is that of its first so many."""


@dataclass(frozen=True)
class Prediction:
    """None is unknown."""

    least_bytes: int | None = None
    epoch_seconds: float | None = None

    def measures(self) -> dict[str, float | int | None]:
        """The entries of a record's measures."""
        return {"least_bytes": self.least_bytes, "predicted_epoch_seconds": self.epoch_seconds}


def predict(
    trial: Trial, plugins: Plugins, rates: Mapping[str, Sequence[Rates]] | None = None
) -> Prediction:
    """Of one trial; seconds only where its backend has been timed.

    rates  by `timing_key`
    """
    of = outline(trial, plugins)
    if of is None:
        return Prediction()
    timed = (rates or {}).get(timing_key(trial), ())
    fitting = next((one for one in timed if one.batch == of.batch and one.points), None)
    seconds = epoch_seconds(of, fitting) if fitting is not None else None
    return Prediction(of.least_bytes, seconds)


def refusal(trial: Trial, prediction: Prediction) -> str:
    """Why the trial cannot fit its memory limit; empty if it may.

    The limit holds for the whole process, whose libraries need some of it too, so whatever is
    refused would not have fitted.
    """
    limit, least = trial.memory_limit, prediction.least_bytes
    if limit is None or least is None or least <= limit:
        return ""
    return (
        f"needs at least {brief_size(least)}, over the memory limit of {brief_size(limit)}; give "
        "--memory-limit, make it smaller with --set, or try anyway with --no-plan"
    )


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

    def at(self, work: int, name: str) -> float:
        """Seconds, interpolated on log-log axes.

        Above the last point each connection costs as much as from the first point to the last, so
        that the fixed cost of a call does not grow.
        """
        first, last = self.points[0], self.points[-1]
        low, high = (max(getattr(point, name), 1e-9) for point in (first, last))
        if first is last:
            return float(high * work / last.work)
        if work >= last.work:
            rise = max(0.0, getattr(last, name) - getattr(first, name))
            return float(high + rise / (last.work - first.work) * (work - last.work))
        right = max(1, bisect.bisect([point.work for point in self.points], work))
        left, right_point = self.points[right - 1], self.points[right]
        low, high = (max(getattr(point, name), 1e-9) for point in (left, right_point))
        slope = math.log(high / low) / math.log(right_point.work / left.work)
        if work < first.work:
            slope = min(max(slope, 0.0), 1.0)
        return float(low * (max(work, 1) / left.work) ** slope)

    def unit(self, neurons: int) -> float:
        """Seconds of the activation behind a layer of this many neurons."""
        nearest = min(self.points, key=lambda point: abs(math.log(point.neurons / neurons)))
        return nearest.unit * max(neurons / nearest.neurons, 0.1)


def epoch_seconds(of: Outline, rates: Rates) -> float:
    """The median epoch's training, plus the median of topology updates over the epochs with one.

    Assembling batches is left out: it has not been timed.
    """
    works = [layer.entries(rates.truly_sparse) for layer in of.layers]
    step = sum(rates.at(work, "forward") + rates.at(work, "backward") for work in works)
    step += rates.at(works[0], "backward_first") - rates.at(works[0], "backward")
    step += sum(rates.unit(layer.shape[0]) for layer in of.layers[:-1])
    train = step * of.data.train / of.batch
    begin = sum(rates.at(work, "begin") for work in works)
    train += begin / of.epochs if of.epochs <= 2 else 0.0  # the median of all epochs
    steps = -(-of.data.train // of.batch_size)
    epochs = range(1, min(of.epochs, EPOCHS) + 1)
    counts = [n for epoch in epochs if (n := of.topology.updates(epoch, of.epochs, steps))]
    update = sum(rates.at(work, "update") for work in works)
    return train + (update * statistics.median(counts) if counts else 0.0)


@dataclass(frozen=True)
class TimingJob:
    """A process that times a backend: its ladders, and a trial with the other components."""

    trial: Trial
    ladders: tuple[Ladder, ...]


def timing_key(trial: Trial) -> str:
    """Trials of one key are timed by one process: they differ only in what a ladder spans."""
    model = {key: value for key, value in trial.model.items() if key != "hidden"}
    return canonical([trial.backend, trial.optimizer, model, trial.threads])


def timing_jobs(outlines: Sequence[tuple[Trial, Outline]]) -> dict[str, TimingJob]:
    """What to time for these trials, by `timing_key`; with a changing topology if one has it."""
    groups: dict[str, list[tuple[Trial, Outline]]] = {}
    for trial, of in outlines:
        groups.setdefault(timing_key(trial), []).append((trial, of))
    found = {}
    for key, group in groups.items():
        trial, _ = max(group, key=lambda pair: pair[1].topology.updates(1, 2, 2) > 0)
        batches = sorted({of.batch for _, of in group})
        ladders = [_ladder(n, [of for _, of in group if of.batch == n]) for n in batches]
        found[key] = TimingJob(trial, tuple(ladders))
    return found


def _ladder(batch: int, group: Sequence[Outline]) -> Ladder:
    layers = [layer for of in group for layer in of.layers]
    works = [layer.entries(group[0].truly_sparse is not False) for layer in layers]
    low = max(SMALLEST, min(works))
    high = max(low, min(LARGEST, max(works)))
    grid = {round(low * (high / low) ** (i / (POINTS - 1))) for i in range(POINTS)}
    per_neuron = statistics.median(layer.nnz / sum(layer.shape) for layer in layers)
    return Ladder(batch, tuple(sorted(grid)), per_neuron)
