"""Trains a network while it scores the importance of each input, and selects the most important."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.csr_batch import Batch
from sparsebench.core.nn.input_scores import (
    attribution,
    degrees,
    mean_gradients,
    samples_at_once,
    strengths,
)
from sparsebench.core.protocols import Observable
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.work import Result, Work
from sparsebench.errors import Unsupported
from sparsebench_plugins.feature_selection.judges import classes_of, judged
from sparsebench_plugins.topologies.wast import INPUTS


class Selection(Protocol):
    """The parameters of the trainer `feature-selection`, which explains them."""

    @property
    def features(self) -> int: ...

    @property
    def importance(self) -> str: ...

    @property
    def judges(self) -> tuple[Any, ...]: ...

    @property
    def beta(self) -> float: ...

    @property
    def samples(self) -> int: ...


def train_and_select(work: Work, selection: Selection) -> Result:
    """Train like any trainer of one process; then score, select and judge the features. If the
    training diverges, no features are selected."""
    if work.keeper is not None:
        raise Unsupported("the scores of features are in no checkpoint; leave checkpoint out")
    classes_of(work.data.test)
    with work.meter.phase("build"):
        network = build_network(work)
        training = Training(work, network, Batches(work, network))
        scored = Scored(work, training, selection)
    for epoch in range(1, work.epochs + 1):
        training.run(epoch, epoch)
        if training.diverged:
            return training.result()
        scored.after_epoch(epoch)
    began = time.perf_counter()
    chosen = best_of(scored.scores(), selection.features)
    scored.seconds += time.perf_counter() - began
    result = training.result()
    result.measures.update(
        selection_seconds=scored.seconds, selection_net_peak_bytes=work.meter.net_peak_bytes()
    )
    result.measures.update(judged(work, chosen, selection.judges))
    return result


def best_of(scores: Array, count: int) -> Array:
    """The features with the highest scores, the best first; among equal scores the earlier."""
    order: Array = np.argsort(-scores, kind="stable")[:count]
    return order


class Scored:
    """Scores the inputs of a network in training.

    seconds  time that scoring took in addition to the training
    """

    def __init__(self, work: Work, training: Training, selection: Selection) -> None:
        self.seconds = 0.0
        self._work = work
        self._training = training
        self._selection = selection
        self._sums = np.zeros(work.data.features)
        network = training.network
        if selection.importance == "gradients":
            if work.topology.needs.every_step:
                raise Unsupported(
                    f"{type(work.topology).__name__} looks at every step, and so does the "
                    "importance 'gradients'; use another of the two"
                )
            _observable(network).watch(_adding(self._sums, selection.beta, training))

    def after_epoch(self, epoch: int) -> None:
        if self._selection.importance != "attribution":
            return
        began = time.perf_counter()
        with self._work.meter.phase("select"):
            network = _observable(self._training.network)
            self._sums += attribution(network, self._batches(epoch), self._training.step + 1)
        self.seconds += time.perf_counter() - began

    def scores(self) -> Array:
        """(features,) the score of each feature; higher is better."""
        importance = self._selection.importance
        if importance == "strength":
            return strengths(self._training.network.layers[0].weights())
        if importance == "connections":
            return degrees(self._training.network.layers[0].weights())
        if importance == "neuron-importance":
            found = self._training.updater.state.arrays.get((INPUTS, 0))
            if found is None:
                raise Unsupported(
                    f"{type(self._work.topology).__name__} sums no importance of inputs: "
                    "grow = 'neuron-importance' does"
                )
            return found
        return self._sums

    def _batches(self, epoch: int) -> Iterator[Batch]:
        train = replace(self._work.data.train, corruption=None)
        count = min(self._selection.samples, len(train))
        ordinals = np.arange((epoch - 1) * count, epoch * count) % len(train)
        size = samples_at_once(train.features)
        for start in range(0, count, size):
            yield train.batch(np.sort(ordinals[start : start + size]))[0]


def _observable(network: object) -> Observable:
    if not isinstance(network, Observable):
        raise Unsupported(f"{type(network).__name__} does not show its gradients")
    return network


def _adding(
    sums: Array, beta: float, training: Training
) -> Callable[[int, Batch, Matrix, int], None]:
    """Make a callback for each step that adds the gradients of the inputs to the sums."""

    def look(index: int, X: Batch, DZ: Matrix, t: int) -> None:
        if index == 0:
            sums[...] = beta * sums + mean_gradients(training.network.layers[0].weights(), DZ)

    return look
