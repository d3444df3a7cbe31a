"""The laws of observers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observation, Observer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.observing import plain_values
from sparsebench.testing.fixtures import check_parameters, random_matrix
from sparsebench.testing.topologies import training_steps

SHAPES = [(30, 40), (30, 30), (4, 30)]

WIDE, CONNECTIONS = 40_000, 40_000
BYTES = 400
"""Per connection and neuron at most, for a start, a change and the values."""


class FixedLayer:
    """Weights that are changed and never trained."""

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
    """Layers with given connections and no units: enough for an observer of topologies."""

    def __init__(self, matrices: Sequence[CsrMatrix]) -> None:
        self.layers = [FixedLayer(W) for W in matrices]


def check_observer(observer: Observer) -> None:
    """Gives what it declares, for layers without connections too, repeatably and without a change
    of the network; its state can be saved and restored; memory is of order nnz.

    The network has `layers` with `weights`, `bias`, `shape` and `nnz` alone: for an observer that
    runs data through it, test with a trial.
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
    for counts in ([120, 90, 60], [0, 0, 0], [1200, 900, 120]):
        first, second = (_observed(observer, counts, saving=False) for _ in range(2))
        assert first == second, "the values are not repeatable"
        resumed = _observed(observer, counts, saving=True)
        assert first == resumed, f"saved and restored it gives {resumed} instead of {first}"
    _check_memory(observer)


def _observed(observer: Observer, counts: Sequence[int], saving: bool) -> list[Any]:
    """Values of a few epochs with a change of each layer at the end of each; `saving` puts a new
    observation in the place of the old one in the middle of each."""
    rng = np.random.default_rng(0)
    matrices = [random_matrix(*one, rng) for one in zip(SHAPES, counts, strict=True)]
    network = FixedNetwork(matrices)
    observation = _start(observer, network)
    found = []
    for step in training_steps():
        if step.epoch_ended:
            for index, layer in enumerate(network.layers):
                change = _change(layer.weights(), rng)
                layer.apply_change(change)
                observation.on_change(index, change)
        before = [layer.weights() for layer in network.layers]
        copies = [W.data.copy() for W in before]
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
        for layer, W, copy in zip(network.layers, before, copies, strict=True):
            assert layer.weights() is W, "the network's connections changed"
            assert np.array_equal(W.data, copy), "the network's weights changed"
    return found


def _start(observer: Observer, network: FixedNetwork) -> Observation:
    return observer.start(network)  # type: ignore[arg-type]


def _change(W: CsrMatrix, rng: np.random.Generator) -> Change:
    """Drops a third, grows as many as there is room for among as many drawn at random."""
    keep = rng.random(W.nnz) > 1 / 3
    kept = W.pattern.keys()[keep]
    drawn = random_pattern(W.shape, int(np.count_nonzero(~keep)), rng).keys()
    grown = np.setdiff1d(drawn, kept)
    rows, columns = grown // W.shape[1], grown % W.shape[1]
    return Change(keep, rows, columns, np.ones(grown.size, dtype=np.float32))


def _check_memory(observer: Observer) -> None:
    """For a wide sparse layer less than BYTES per connection and neuron; dense it is 10,000."""
    rng = np.random.default_rng(0)
    network = FixedNetwork([random_matrix((WIDE, WIDE), CONNECTIONS, rng)])
    tracemalloc.start()
    try:
        observation = _start(observer, network)
        change = _change(network.layers[0].weights(), rng)
        network.layers[0].apply_change(change)
        observation.on_change(0, change)
        observation.look(training_steps()[0])
        observation.values()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    allowed = BYTES * (CONNECTIONS + 2 * WIDE)
    assert peak < allowed, f"observing took {peak} bytes for {CONNECTIONS} connections"
