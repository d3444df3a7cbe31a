"""From components to a network with weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.training.position import refuse_unsaveable, saved_layer
from sparsebench.core.training.work import Work
from sparsebench.errors import SuiteError
from sparsebench.seeds import generator


def build_network(work: Work, seed: int | None = None) -> Network:
    """The network of a trial: the same connections and weights on every backend.

    With a checkpoint to resume from, it is the network of that checkpoint.
    seed  of draws during training, such as dropout; by default the trial's
    """
    found = work.keeper.found if work.keeper is not None else None
    made = _drawn(work) if found is None else _saved(work, found)
    layers = [work.backend.layer(W, bias, work.optimizer) for W, bias in made]
    network = work.network(layers, seed)
    if work.keeper is not None:
        refuse_unsaveable([*layers, network])
    if found is not None:
        network.restore(found)
    return network


def _drawn(work: Work) -> Iterator[tuple[CsrMatrix, Vector]]:
    """Layers one after the other, so that what one needs while it is made is freed for the next.

    Raises SuiteError for a layer without connections: nothing would reach the layers above it.
    """
    shapes = work.model.shapes(work.data.features, work.data.outputs)
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


def _saved(work: Work, found: Mapping[str, Vector]) -> Iterator[tuple[CsrMatrix, Vector]]:
    shapes = work.model.shapes(work.data.features, work.data.outputs)
    for number, shape in enumerate(shapes, 1):
        yield saved_layer(found, number, shape)
