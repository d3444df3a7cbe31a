"""From components to a network with weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.position import saved_layer
from sparsebench.core.training.work import Work
from sparsebench.errors import SuiteError, Unsupported
from sparsebench.seeds import generator


def build_network(work: Work, seed: int | None = None) -> Network:
    """The network of a trial: the same connections and weights on every backend.

    With a checkpoint to resume from, it is the network of that checkpoint. Raises Unsupported if
    checkpoints are wanted and a layer or the network cannot be saved.
    seed  of draws during training, such as dropout; by default the trial's
    """
    found = work.keeper.found if work.keeper is not None else None
    shapes = work.model.shapes(work.data.features, work.data.outputs)
    made = (
        _drawn(work, shapes)
        if found is None
        else (saved_layer(found, number, shape) for number, shape in enumerate(shapes, 1))
    )
    layers = [work.backend.layer(W, bias, work.optimizer) for W, bias in made]
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
    """Layers one after the other, so that what one needs while it is made is freed for the next.

    Raises SuiteError for a layer without connections: nothing would reach the layers above it.
    """
    counts = work.topology.connections(shapes)
    for number, ((K, D), nnz) in enumerate(zip(shapes, counts, strict=True), 1):
        if nnz == 0:
            raise SuiteError(
                f"topology: layer {number} ({K} x {D}) gets no connection, so that its outputs "
                "would not depend on its inputs; raise epsilon or density"
            )
    for index, (shape, nnz) in enumerate(zip(shapes, counts, strict=True)):
        pattern = random_pattern(shape, nnz, generator(work.seed, "topology", index))
        rng = generator(work.seed, "init", index)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, nnz, rng))
        yield W, np.zeros(shape[0], dtype=np.float32)
