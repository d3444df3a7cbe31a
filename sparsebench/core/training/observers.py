"""Runs the observers of one training, checks their values and keeps their state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from sparsebench.core.archive import WithPrefix
from sparsebench.core.arrays import Array
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.metric import Metric
from sparsebench.core.observer import MOST_BINS, Observation, Observer
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.steps import Timers
from sparsebench.core.training.work import Meter, Value


class Observers:
    """Starts all observers on a network and passes its events to them. Their time and memory count
    for the phase `observe`, even during a topology update."""

    def __init__(
        self, observers: Mapping[str, Observer], network: Network, meter: Meter, timers: Timers
    ) -> None:
        self._observers = observers
        self._layers = len(network.layers)
        self._meter = meter
        self._timers = timers
        self._active: dict[str, Observation] = {}
        if observers:
            with self._timed():
                self._active = {name: one.start(network) for name, one in observers.items()}

    def on_change(self, index: int, change: Change) -> None:
        """Pass a change of a layer's connections to all observers."""
        if self._active:
            with self._timed():
                for observation in self._active.values():
                    observation.on_change(index, change)

    def due(self, step: TrainingStep) -> list[str]:
        """The observers whose `look` is due after this step."""
        return [
            name
            for name, observer in self._observers.items()
            if observer.every is not None and step.step % observer.every == 0
        ]

    def look(self, step: TrainingStep) -> None:
        """Call the observers that are due after this step. Has to be called after each step at
        which at least one is due."""
        due = self.due(step)
        if due:
            with self._timed():
                for name in due:
                    self._active[name].look(step)

    def values(self) -> tuple[dict[str, Value], dict[str, list[Value]]]:
        """The observers' values for `EpochRecord.metrics` and `EpochRecord.layer_metrics`. Raises
        ValueError if one is not as declared."""
        metrics: dict[str, Value] = {}
        layer_metrics: dict[str, list[Value]] = {}
        if self._active:
            with self._timed():
                for name, observation in self._active.items():
                    declared = self._observers[name].metrics
                    found = plain_values(name, declared, observation.values(), self._layers)
                    metrics |= found[0]
                    layer_metrics |= found[1]
        return metrics, layer_metrics

    def saved(self) -> Iterator[tuple[str, Array]]:
        for name, observation in self._active.items():
            for key, array in observation.saved():
                yield f"observer.{name}.{key}", array

    def restore(self, saved: Mapping[str, Array]) -> None:
        for name, observation in self._active.items():
            observation.restore(WithPrefix(saved, f"observer.{name}"))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        with self._meter.phase("observe"), self._timers("observe"):
            yield


def plain_values(
    observer: str, declared: tuple[Metric, ...], given: Mapping[str, Any], layers: int
) -> tuple[dict[str, Value], dict[str, list[Value]]]:
    """The values of all declared metrics, None for those that are missing: first the metrics with
    one value, then those with a value per layer.

    Raises ValueError for a value that is not declared or not of its declared form.
    """
    undeclared = sorted(set(given) - {metric.name for metric in declared})
    if undeclared:
        raise ValueError(
            f"observer {observer!r} gives {undeclared[0]!r}, which it does not declare"
        )
    metrics: dict[str, Value] = {}
    layer_metrics: dict[str, list[Value]] = {}
    for metric in declared:
        value, where = given.get(metric.name), f"observer {observer!r}: {metric.name}"
        if "layer" in metric.kinds:
            entries = [None] * layers if value is None else list(value)
            if len(entries) != layers:
                raise ValueError(f"{where}: expected one per layer, {layers}, found {len(entries)}")
            layer_metrics[metric.name] = [_small(entry, where) for entry in entries]
            continue
        metrics[metric.name] = small = _small(value, where)
        if "trial" in metric.kinds and isinstance(small, list):
            raise ValueError(f"{where}: a metric of a trial is one number, found an array")
    return metrics, layer_metrics


def _small(value: Any, where: str) -> Value:
    """The value as a Python number, or as a flat list of at most MOST_BINS numbers; None stays
    None. Raises ValueError for anything else."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "iufb" or array.ndim > 1:
        raise ValueError(f"{where}: expected a number or a flat array, found {value!r:.60}")
    if array.size > MOST_BINS:
        raise ValueError(f"{where}: found {array.size} numbers; an array has at most {MOST_BINS}")
    plain: Value = array.tolist()
    return plain
