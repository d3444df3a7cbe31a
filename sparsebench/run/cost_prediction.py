"""Predicts a trial's work and least memory from declared sizes, and its seconds from timed layers.

Nothing is timed unless `measured_rates` is called. It times layers of a few sizes for each backend,
optimizer, model and number of threads, in a process of its own (core/worker/layer_timing.py); other
sizes are interpolated. A "ladder" is such a series of sizes.
"""

from __future__ import annotations

import bisect
import json
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsebench.core.job import RATES, Job, Ladder, Point
from sparsebench.core.observer import ObservableTrainer
from sparsebench.core.sizes import LONG, updates_in_time
from sparsebench.core.trial import Trial, canonical
from sparsebench.registry import Plugins
from sparsebench.run.kernel_cache import PATIENCE, cache_folder
from sparsebench.run.trial_sizes import TrialSizes, declared_sizes
from sparsebench.units import brief_size

POINTS = 4
SMALLEST, LARGEST = 2_000, 16_000_000
"""Connections of the smallest and of the largest layer that is timed. Times of larger layers are
extrapolated (see `Rates.at`)."""

EPOCHS = 1_000
"""A prediction considers only this many first epochs of a longer training."""


def never_updates(trial: Trial, plugins: Plugins) -> bool:
    """Whether a longer training would update the topology, but this trial has too few steps.

    If the number of samples is unknown, an epoch counts as a very long one. False for a trainer
    without a network in training, such as one that times an operation.
    """
    wires = {key: value for key, value in trial.topology.items() if key != "prune"}
    topology, sizes = plugins.parameters("topology", wires), declared_sizes(trial, plugins)
    trains = isinstance(plugins.parameters("trainer", trial.trainer), ObservableTrainer)
    if not trains or not updates_in_time(topology):
        return False
    steps = -(-sizes.data.train // sizes.batch_size) if sizes is not None else LONG
    epochs = range(1, min(trial.epochs, EPOCHS) + 1)
    return not any(topology.updates(epoch, trial.epochs, steps) for epoch in epochs)


# --- predictions -----------------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """The least bytes that a trial needs, and the seconds of one epoch; None if unknown."""

    least_bytes: int | None = None
    epoch_seconds: float | None = None

    def measures(self) -> dict[str, float | int | None]:
        """The prediction as measures of a record."""
        return {"least_bytes": self.least_bytes, "predicted_epoch_seconds": self.epoch_seconds}


def predict(
    trial: Trial, plugins: Plugins, rates: Mapping[str, Sequence[Rates]] | None = None
) -> Prediction:
    """Predict one trial; its seconds only if `rates` has its `timing_key` with its batch size.

    rates  as `measured_rates` returns them
    """
    sizes = declared_sizes(trial, plugins)
    if sizes is None:
        return Prediction()
    timed = (rates or {}).get(timing_key(trial), ())
    fitting = next((one for one in timed if one.batch == sizes.batch and one.points), None)
    seconds = epoch_seconds(sizes, fitting) if fitting is not None else None
    return Prediction(sizes.least_bytes, seconds)


def refusal(trial: Trial, prediction: Prediction) -> str:
    """Why the trial cannot fit its memory limit; empty if it may fit.

    The prediction is a lower bound without the memory of libraries, while the limit is for the
    whole process. So a refused trial would not have fitted.
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
    """The timed layers of one ladder, from small to large.

    batch         number of samples in a batch
    truly_sparse  whether work counts connections; else all positions, K D
    gather        seconds to gather and scale one value of a batch
    """

    batch: int
    truly_sparse: bool
    points: tuple[Point, ...]
    gather: float = 0.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rates:
        points = tuple(Point(**point) for point in data["points"])
        gather = float(data.get("gather", 0.0))
        return cls(int(data["batch"]), bool(data["truly_sparse"]), points, gather)

    def at(self, work: int, name: str) -> float:
        """The seconds `name` (a field of `Point`, such as "forward") of a layer with `work`
        connections, interpolated on log-log axes.

        Above the last point, each further connection takes the average time between the first and
        the last point, so that the fixed time of a call is not extrapolated.
        """
        first, last = self.points[0], self.points[-1]

        def seconds(point: Point) -> float:
            return max(float(getattr(point, name)), 1e-9)

        if first is last:
            return seconds(last) * work / last.work
        if work >= last.work:
            rise = max(0.0, getattr(last, name) - getattr(first, name))
            return seconds(last) + float(rise / (last.work - first.work) * (work - last.work))
        right = max(1, bisect.bisect([point.work for point in self.points], work))
        low, high = self.points[right - 1], self.points[right]
        slope = math.log(seconds(high) / seconds(low)) / math.log(high.work / low.work)
        if work < first.work:
            slope = min(max(slope, 0.0), 1.0)
        return seconds(low) * math.pow(max(work, 1) / low.work, slope)

    def unit(self, neurons: int) -> float:
        """Seconds of the activation after a layer of this many neurons."""
        nearest = min(self.points, key=lambda point: abs(math.log(point.neurons / neurons)))
        return nearest.unit * max(neurons / nearest.neurons, 0.1)


def epoch_seconds(sizes: TrialSizes, rates: Rates) -> float:
    """The predicted seconds of a median epoch: batches and steps, plus the topology updates of an
    epoch (the median over the epochs with updates). Gathering csr inputs is left out, as it is not
    timed."""
    works = [layer.entries(rates.truly_sparse) for layer in sizes.layers]
    met = list(works)
    if sizes.csr:  # a connection meets only the samples that store its input
        met[0] = max(1, round(met[0] * sizes.stored / sizes.data.features))
    step = sum(rates.at(work, "forward") + rates.at(work, "backward") for work in met)
    step += rates.at(met[0], "backward_first") - rates.at(met[0], "backward")
    step += sum(rates.unit(layer.shape[0]) for layer in sizes.layers[:-1])
    train = step * sizes.data.train / sizes.batch
    if not sizes.csr:
        train += rates.gather * sizes.data.train * sizes.data.features
    begin = sum(rates.at(work, "begin") for work in works)
    train += begin / sizes.epochs if sizes.epochs <= 2 else 0.0  # the median of all epochs
    steps = -(-sizes.data.train // sizes.batch_size)
    epochs = range(1, min(sizes.epochs, EPOCHS) + 1)
    counts = [n for epoch in epochs if (n := sizes.topology.updates(epoch, sizes.epochs, steps))]
    update = sum(rates.at(work, "update") for work in works)
    return train + (update * statistics.median(counts) if counts else 0.0)


# --- timing ----------------------------------------------------------------------------


def timing_key(trial: Trial) -> str:
    """A key that is equal for trials that differ only in sizes: one process can time them."""
    model = {key: value for key, value in trial.model.items() if key != "hidden"}
    return canonical([trial.backend, trial.optimizer, model, trial.threads])


def timing_jobs(
    outlines: Sequence[tuple[Trial, TrialSizes]],
) -> dict[str, tuple[Trial, tuple[Ladder, ...]]]:
    """For each `timing_key`, a trial and the ladders of layers to time with it, one per batch size.
    The trial is one that updates its topology, if any with this key does.

    outlines  trials with their declared sizes
    """
    groups: dict[str, list[tuple[Trial, TrialSizes]]] = {}
    for trial, sizes in outlines:
        groups.setdefault(timing_key(trial), []).append((trial, sizes))
    found = {}
    for key, group in groups.items():
        trial, _ = max(group, key=lambda pair: pair[1].topology.updates(1, 2, 2) > 0)
        ladders = []
        for batch in sorted({sizes.batch for _, sizes in group}):
            alike = [sizes for _, sizes in group if sizes.batch == batch]
            layers = [layer for sizes in alike for layer in sizes.layers]
            works = [layer.entries(alike[0].truly_sparse is not False) for layer in layers]
            low = max(SMALLEST, min(works))
            high = max(low, min(LARGEST, max(works)))
            grid = {round(low * (high / low) ** (i / (POINTS - 1))) for i in range(POINTS)}
            per_neuron = statistics.median(layer.nnz / sum(layer.shape) for layer in layers)
            ladders.append(Ladder(batch, tuple(sorted(grid)), per_neuron))
        found[key] = (trial, tuple(ladders))
    return found


def measured_rates(
    trials: Sequence[Trial], plugins: Plugins, data_dir: Path
) -> dict[str, list[Rates]]:
    """Time the backends of these trials now, outside of any run and without limits. Returns the
    rates by `timing_key`; the list is empty if the process failed."""
    from sparsebench.run.supervisor import supervise

    found = {}
    known = [
        (trial, sizes) for trial in trials if (sizes := declared_sizes(trial, plugins)) is not None
    ]
    for key, (trial, ladders) in timing_jobs(known).items():
        with tempfile.TemporaryDirectory() as scratch:
            job = Job(
                trial=replace(trial, timeout=PATIENCE, memory_limit=None),
                ladders=ladders,
                folder=Path(scratch, "timing"),
                data_dir=data_dir,
                plugin_files=plugins.files,
                numba_cache=cache_folder(trial, plugins),
            )
            supervise(job)
            try:
                rates = json.loads((job.folder / RATES).read_text())
                found[key] = [Rates.from_json(one) for one in rates]
            except (OSError, ValueError, KeyError, TypeError):
                found[key] = []
    return found
