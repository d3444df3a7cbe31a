"""Builds the network of a trial from its components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.methods.initial import ChoosesPositions, InitialNetwork
from sparsebench.core.protocols import Network, Shape
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.checkpoint import saved_layers
from sparsebench.core.training.work import Work
from sparsebench.errors import SuiteError, Unsupported
from sparsebench.seeds import generator


def build_network(work: Work, seed: int | None = None) -> Network:
    """The network of a trial, with the same connections and weights on every backend.

    If there is a checkpoint to resume from, the network is the one in that checkpoint. Raises
    Unsupported if checkpoints are wanted and a layer or the network cannot be saved.

    seed  of random draws during training, such as dropout; by default the trial's
    """
    found = work.keeper.found if work.keeper is not None else None
    shapes = work.model.shapes(work.data.features, work.data.outputs)
    made = _drawn(work, shapes) if found is None else saved_layers(found, shapes)
    layers = [work.layer(W, bias) for W, bias in made]
    network = work.network(layers, seed)
    for part in (*layers, network) if work.keeper is not None else ():
        if not (hasattr(part, "saved") and hasattr(part, "restore")):
            raise Unsupported(
                f"{type(part).__name__} cannot be saved (it has no saved and restore), so there "
                "can be no checkpoint; leave trial.checkpoint out"
            )
    if found is not None:
        network.restore(found)
    return network


def _drawn(work: Work, shapes: list[tuple[int, int]]) -> Iterator[tuple[CsrMatrix, Vector]]:
    """Yield the initial weights and biases layer by layer, so that the memory for making one layer
    is freed before the next. Raises SuiteError for a layer without connections, because no signal
    would reach the layers after it."""
    counts = work.topology.connections(shapes)
    for number, ((K, D), nnz) in enumerate(zip(shapes, counts, strict=True), 1):
        if nnz == 0:
            raise SuiteError(
                f"topology: layer {number} ({K} x {D}) gets no connection, so that its outputs "
                "would not depend on its inputs; raise epsilon or density"
            )
    for index, placed in enumerate(_placed(work, shapes, counts)):
        W = placed
        if isinstance(W, CsrPattern):
            rng = generator(work.seed, "init", index)
            W = CsrMatrix(W, work.model.initializer.draw(W, W.nnz, rng))
        yield W, np.zeros(W.shape[0], dtype=np.float32)


def _placed(work: Work, shapes: list[Shape], counts: list[int]) -> Iterator[CsrPattern | CsrMatrix]:
    """Yield the pattern or the weights of each layer: chosen by the topology method, or else random
    positions."""
    initial = InitialNetwork(
        shapes,
        counts,
        work.seed,
        work.model.initializer,
        partial(_examples, work),
        partial(_plain_network, work),
    )
    placed = (
        work.topology.patterns(initial) if isinstance(work.topology, ChoosesPositions) else None
    )
    if placed is not None:
        yield from placed
        return
    for index, (shape, nnz) in enumerate(zip(shapes, counts, strict=True)):
        yield random_pattern(shape, nnz, initial.rng(index))


def _plain_network(work: Work, layers: Sequence[Any]) -> Network:
    """The model's network, built from layers that no backend made."""
    no_backend: Any = object()
    return work.model.network(layers, no_backend, work.optimizer, work.seed, work.loss)


def _examples(work: Work, count: int) -> tuple[Matrix, Any]:
    """Inputs and targets of up to `count` training samples, drawn at random; a trial always gets
    the same ones."""
    train = work.data.train
    chosen = generator(work.seed, "examples").permutation(len(train))[:count]
    X, T = train.batch(chosen)
    return X.dense() if isinstance(X, CsrBatch) else X, T
