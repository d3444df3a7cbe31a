"""From components to a network with weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsebench.protocols import Layer, Network
from sparsebench.seeds import generator
from sparsebench.sparse.csr import CsrMatrix
from sparsebench.sparse.sampling import random_pattern
from sparsebench.training.work import Work


def build_network(work: Work) -> Network:
    """The network of a trial: the same connections and weights on every backend."""
    return work.model.network(list(_layers(work)), work.backend, work.optimizer, work.seed)


def _layers(work: Work) -> Iterator[Layer]:
    """One after the other, so that what a layer needs while it is made is freed for the next."""
    shapes = work.model.shapes(work.data.features, work.data.classes)
    counts = work.topology.connections(shapes)
    for index, (shape, nnz) in enumerate(zip(shapes, counts, strict=True)):
        pattern = random_pattern(shape, nnz, generator(work.seed, "topology", index))
        rng = generator(work.seed, "init", index)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, nnz, rng))
        yield work.backend.layer(W, np.zeros(shape[0], dtype=np.float32), work.optimizer)
