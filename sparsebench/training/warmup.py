"""Compilation and first touches, before anything is measured."""

from __future__ import annotations

import numpy as np

from sparsebench.protocols import Network, Shape
from sparsebench.sparse.csr import CsrMatrix
from sparsebench.sparse.sampling import random_pattern
from sparsebench.training.evolution import Evolution
from sparsebench.training.moment import Moment
from sparsebench.training.work import Work

WIDTH = 12
BATCH = 4


def warm_up(work: Work) -> None:
    """Train, rewire and evaluate a throwaway network: the trial's components, tiny layers.

    As many layers as the trial's network has, each WIDTH wide and half full, so that every
    kernel is compiled for the types it will meet. The data is not looked at.
    """
    rng = np.random.default_rng(0)
    layers = len(work.model.shapes(WIDTH, WIDTH))
    network = _tiny_network(work, [(WIDTH, WIDTH)] * layers, rng)
    X = rng.standard_normal((WIDTH, BATCH), dtype=np.float32)
    y = np.arange(BATCH, dtype=np.int64)
    for t in (1, 2):
        network.train_step(X, y, 0.01, t)
    network.compute_gradients(X, y, 3)
    network.step(0.01, 3)
    moment = Moment(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)
    evolution = Evolution(network, work.topology, None, work.model.initializer, work.seed)
    if evolution.due(moment):
        evolution.update(moment)
    network.train_step(X, y, 0.01, 4)
    network.loss(network.outputs(X), y)


def _tiny_network(work: Work, shapes: list[Shape], rng: np.random.Generator) -> Network:
    layers = []
    for K, D in shapes:
        pattern = random_pattern((K, D), K * D // 2, rng)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, pattern.nnz, rng))
        bias = np.zeros(K, dtype=np.float32)
        layers.append(work.backend.layer(W, bias, work.optimizer))
    return work.model.network(layers, work.backend, work.optimizer, work.seed)
