"""Check of observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observation, Observer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.observers import plain_values
from sparsebench.testing.fixtures import (
    SHAPES,
    check_parameters,
    peak_bytes,
    random_layers,
    random_matrix,
    training_steps,
)

WIDE, CONNECTIONS = 40_000, 40_000
BYTES = 400
"""The most bytes for each connection and each neuron that a start, a change and the values may
take; an observer with one byte for each position would take 13,000."""


class FixedLayer:
    """A layer whose connections change but whose weights are never trained."""

    def __init__(self, W: CsrMatrix) -> None:
        self._W = W

    shape = property(lambda self: self._W.shape)
    nnz = property(lambda self: self._W.nnz)

    def weights(self) -> CsrMatrix:
        return self._W

    def bias(self) -> Any:
        return np.zeros(self._W.shape[0], dtype=np.float32)

    def apply_change(self, change: Change) -> None:
        self._W = self._W.apply(change)


class FixedNetwork:
    """Layers whose weights are never trained, without activations: enough for an observer of
    topologies."""

    def __init__(self, matrices: Sequence[CsrMatrix]) -> None:
        self.layers = [FixedLayer(W) for W in matrices]


def check_observer(observer: Observer) -> None:
    """Check that an observer returns what it declares, repeatably, even for layers without
    connections; that it changes nothing; that its state can be saved and restored; and that its
    memory is of order nnz.

    The network of this check has only `layers` with `weights`, `bias`, `shape` and `nnz`. Test an
    observer that passes data through the network in a trial.
    """
    check_parameters(observer)
    names = [metric.name for metric in observer.metrics]
    assert names, "an observer declares at least one metric"
    assert all(isinstance(metric, Metric) for metric in observer.metrics), "metrics are `Metric`s"
    assert len(set(names)) == len(names), f"a metric is declared twice: {names}"
    for metric in observer.metrics:
        is_read = {"epoch", "layer"} & set(metric.kinds)
        assert is_read, f"{metric.name}: kinds lack 'epoch' or 'layer', so nothing is stored"
    every = observer.every
    assert every is None or every >= 1, f"every is {every}: expected None or at least 1"
    for counts in ([120, 90, 60], [0, 0, 0], [shape[0] * shape[1] for shape in SHAPES]):
        first, second = (_observed(observer, counts, saving=False) for _ in range(2))
        assert first == second, "the values are not repeatable"
        resumed = _observed(observer, counts, saving=True)
        assert first == resumed, f"saved and restored it gives {resumed} instead of {first}"
    wide = FixedNetwork([random_matrix((WIDE, WIDE), CONNECTIONS, np.random.default_rng(0))])

    def observe() -> None:
        observation = _start(observer, wide)
        _change(wide, observation, np.random.default_rng(0))
        observation.look(training_steps()[0])
        observation.values()

    peak = peak_bytes(observe)
    allowed = BYTES * (CONNECTIONS + 2 * WIDE)
    assert peak < allowed, f"observing took {peak} bytes for {CONNECTIONS} connections"


def _observed(observer: Observer, counts: Sequence[int], saving: bool) -> list[Any]:
    """The observer's values of a few epochs, each of which ends with a change of every layer.
    Checks that the observer does not change the layers.

    saving  after each step but the last of an epoch, replace the observation by one that is
            restored from what it saved
    """
    rng = np.random.default_rng(0)
    network = FixedNetwork(random_layers(counts))
    observation = _start(observer, network)
    found = []
    for step in training_steps():
        if step.epoch_ended:
            _change(network, observation, rng)
        before = [(layer.weights(), layer.weights().data.copy()) for layer in network.layers]
        if observer.every is not None and step.step % observer.every == 0:
            observation.look(step)
        if saving and not step.epoch_ended:
            saved = {name: np.array(array) for name, array in observation.saved()}
            observation = _start(observer, network)
            observation.restore(saved)
        if step.epoch_ended:
            values = observation.values()
            layers = len(network.layers)
            found.append(plain_values("under test", observer.metrics, values, layers))
        for layer, (W, data) in zip(network.layers, before, strict=True):
            assert layer.weights() is W, "the network's connections changed"
            assert np.array_equal(W.data, data), "the network's weights changed"
    return found


def _start(observer: Observer, network: FixedNetwork) -> Observation:
    return observer.start(network)  # type: ignore[arg-type]


def _change(network: FixedNetwork, observation: Observation, rng: np.random.Generator) -> None:
    """Drop about a third of each layer's connections, draw the same number of random positions, and
    grow connections at those of them that are free."""
    for index, layer in enumerate(network.layers):
        W = layer.weights()
        keep = rng.random(W.nnz) > 1 / 3
        drawn = random_pattern(W.shape, int(np.count_nonzero(~keep)), rng).keys()
        grown = np.unique(drawn[~np.isin(drawn, W.pattern.keys()[keep], kind="sort")])
        rows, columns = grown // W.shape[1], grown % W.shape[1]
        change = Change(keep, rows, columns, np.ones(grown.size, dtype=np.float32))
        layer.apply_change(change)
        observation.on_change(index, change)
