"""Compilation and first touches, before anything is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Matrix
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.protocols import LayerSignals, Network, Observable, Shape
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.work import Work

Target = npt.NDArray[Any]

WIDTH = 12
BATCHES = (4, 12)
"""A backend may have kernels of its own for small batches."""

DENSITIES = (0.25, 0.75)
"""Above half density positions are drawn by other means than below."""


def warm_up(work: Work) -> None:
    """Train, change and evaluate throwaway networks: the trial's components, tiny layers.

    As many layers as the trial's network has, each WIDTH wide, so that every kernel is compiled
    for the types it will meet, those of the topology and the pruning whether due or not. The
    data is not looked at.
    """
    for density in DENSITIES:
        for batch in sorted({min(batch, work.batch_size) for batch in BATCHES}):
            _rehearse(work, density, batch, np.random.default_rng(0))


def _rehearse(work: Work, density: float, batch: int, rng: np.random.Generator) -> None:
    layers = len(work.model.shapes(WIDTH, WIDTH))
    network = _tiny_network(work, [(WIDTH, WIDTH)] * layers, density, rng)
    X = rng.standard_normal((WIDTH, batch), dtype=np.float32)
    labels = np.arange(batch, dtype=np.int64)
    T = labels if work.loss.targets == "labels" else np.ones_like(X)
    step = TrainingStep(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)
    observed = [observer.start(network) for observer in work.observers.values()]

    def changed(index: int, change: Change) -> None:
        for observation in observed:
            observation.on_change(index, change)

    updater = TopologyUpdater(
        network, work.topology, work.pruning, work.model.initializer, work.optimizer, work.seed,
        changed,
    )  # fmt: skip
    updater.watch(lambda t: step)
    for t in (1, 2):
        network.train_step(X, T, 0.01, t)
    network.compute_gradients(X, T, 3)
    network.step(0.01, 3)
    updater.rehearse(step, lambda: _observed(network, X, T))
    for observation in observed:
        observation.look(step)
        observation.values()
    network.train_step(X, T, 0.01, 4)
    network.loss(network.outputs(X), T)


def _observed(network: Network, X: Matrix, T: Target) -> list[LayerSignals]:
    assert isinstance(network, Observable)
    return network.observe(X, T, 4)[1]


def _tiny_network(
    work: Work, shapes: list[Shape], density: float, rng: np.random.Generator
) -> Network:
    layers = []
    for K, D in shapes:
        pattern = random_pattern((K, D), int(density * K * D), rng)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, pattern.nnz, rng))
        bias = np.zeros(K, dtype=np.float32)
        layers.append(work.backend.layer(W, bias, work.optimizer))
    return work.network(layers)
