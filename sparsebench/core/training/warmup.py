"""Compiles all code and touches all memory that a training will use, before anything is
measured."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import product

import numpy as np

from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.data.samples import ScaledCsrRows, ScaledRows
from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.update import TopologyUpdater
from sparsebench.core.protocols import LayerSignals, Network, Observable, TrainsManySteps
from sparsebench.core.sizes import LayerSize, Shape, all_small
from sparsebench.core.sparse import small_layers
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.dead_neurons import epochs_between
from sparsebench.core.training.work import Work

WIDTH = 12
BATCHES = (4, 12)
"""Batch sizes of the warm-up: backends may have special kernels for small batches."""

DENSITIES = (0.25, 0.75)
"""Densities of the warm-up: positions are drawn by different code above and below half density."""


def warm_up(work: Work, *, gradients: bool = True, watched: bool = False) -> None:
    """Train, change and evaluate throwaway networks of the trial's components, with tiny layers.

    A network has as many layers as the trial's, each WIDTH wide. So every kernel is compiled for
    the types it will get, including those of topology updates and pruning, even if none are due. Of
    the data, only the types are used.

    gradients  whether the trainer computes gradients without a step; if not, that code is skipped
               when all steps are compiled calls
    watched    whether the trainer observes every step, so that all steps are made layer by layer
    """
    batches = sorted({min(batch, work.batch_size) for batch in BATCHES})
    shapes = _shapes(work)
    layers = map(LayerSize, shapes, work.topology.connections(shapes)) if shapes else ()
    is_small = bool(shapes) and all_small(layers)
    with nullcontext() if is_small else small_layers.disabled():
        for density, batch in product(DENSITIES, batches):
            _rehearse(work, density, batch, gradients, watched)


def _shapes(work: Work) -> list[Shape]:
    """The shapes (K, D) of the trial's layers; empty if the size of its data is not known."""
    if work.data is not None:
        return work.model.shapes(work.data.features, work.data.outputs)
    if work.size is None:
        return []
    outputs = work.objective.outputs(work.size.features, work.size.targets)
    return work.model.shapes(work.size.features, outputs)


USUAL_TYPES = ((np.uint8, np.float32), (np.float32, np.float32), (np.float64, np.float64))
"""The types that are compiled for while the data are not loaded: of the data, and of their mean and
scale."""


def _prepare(work: Work, network: Network) -> bool:
    """Compile the steps for the trial's own sizes. Returns whether all steps are compiled calls."""
    if not isinstance(network, TrainsManySteps):
        return False
    if work.csr:
        _prepare_csr(work, network)
        return False
    if work.data is not None:
        rows = work.data.train.scaled_rows()
        types = [(rows.X.dtype, rows.mean.dtype)] if isinstance(rows, ScaledRows) else []
        train = len(work.data.train)
    elif work.size is not None:
        types, train = list(USUAL_TYPES), work.size.train
    else:
        return False
    shapes = _shapes(work)
    widest = max(max(shape) for shape in shapes)
    connections = sum(work.topology.connections(shapes))
    sources = [
        ScaledRows(np.zeros((1, WIDTH), kind), *np.ones((2, WIDTH, 1), scaled))
        for kind, scaled in types
    ]
    sizes = {min(work.batch_size, train), train % work.batch_size} - {0}
    compiled = [
        network.prepare(N, widest, connections, source)
        for N in sizes
        for source in (None, *sources)
    ]
    if epochs_between(work) is not None:  # smaller layers may be cut in another way
        for N in sizes:
            network.prepare(N, WIDTH, WIDTH, sources[0] if sources else None)
    return all(compiled)


def _prepare_csr(work: Work, network: TrainsManySteps) -> None:
    """Compile the code that reads csr rows of the trial's types; `_rehearse` meets all other."""
    rows = work.data.train.scaled_rows() if work.data is not None else None
    if isinstance(rows, ScaledCsrRows):
        scale = None if rows.scale is None else rows.scale[:WIDTH]
        network.prepare(WIDTH, WIDTH, WIDTH, ScaledCsrRows(rows.X[:1, :WIDTH], scale))


def _rehearse(work: Work, density: float, batch: int, gradients: bool, watched: bool) -> None:
    rng = np.random.default_rng(0)
    layers = []
    for _ in work.model.shapes(WIDTH, WIDTH):
        pattern = random_pattern((WIDTH, WIDTH), int(density * WIDTH * WIDTH), rng)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, pattern.nnz, rng))
        layers.append(work.layer(W, np.zeros(WIDTH, dtype=np.float32)))
    network = work.network(layers)
    values = rng.standard_normal((WIDTH, batch), dtype=np.float32)
    X: Batch = CsrBatch.of(values) if work.csr else values
    labels = np.arange(batch, dtype=np.int64)
    T = labels if work.loss.targets == "labels" else np.ones_like(values)
    step = TrainingStep(epoch=1, epochs=3, step=3, steps_per_epoch=3, epoch_ended=True)
    observed = [observer.start(network) for observer in work.observers.values()]

    def changed(index: int, change: Change) -> None:
        for observation in observed:
            observation.on_change(index, change)

    def observe() -> list[LayerSignals]:
        assert isinstance(network, Observable)
        return network.observe(X, T, 4)[1]

    updater = TopologyUpdater(
        network, work.topology, work.pruning, work.model.initializer, work.optimizer, work.seed,
        changed,
    )  # fmt: skip
    updater.watch(lambda t: step)
    if watched and isinstance(network, Observable):
        network.watch(lambda index, X, DZ, t: None)
    for t in (1, 2):
        network.train_step(X, T, 0.01, t)
    if not _prepare(work, network) or gradients:
        network.compute_gradients(X, T, 3)
        network.step(0.01, 3)
    updater.rehearse(step, observe)
    for observation in observed:
        observation.look(step)
        observation.values()
    network.train_step(X, T, 0.01, 4)
    network.loss(network.outputs(X), T)
