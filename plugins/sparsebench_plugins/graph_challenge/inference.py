"""Inference through a network of the Graph Challenge, timed and checked. A row is an image; it
survives if its outputs in the last layer are not all 0."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Matrix, Rows
from sparsebench.core.nn.buffers import Buffer
from sparsebench.core.protocols import Layer
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.core.training.work import Result, Work
from sparsebench.errors import SparsebenchError, Unsupported
from sparsebench.seeds import generator
from sparsebench_plugins.graph_challenge.images import Images
from sparsebench_plugins.graph_challenge.model import BIASES, CAP
from sparsebench_plugins.graph_challenge.radix_net import RadixNet

VECTOR = 16
"""The number of columns that kernels process at once; a batch is only narrowed to multiples of
it."""

SETTLED = 20
"""After this many layers of the official network, outputs do not change any more: those of
surviving rows are all 32, and all others are 0."""


class WrongRows(SparsebenchError):
    """Raised if other rows survive than the official ones."""


def measure(work: Work, skip_dead: bool) -> Result:
    """Build the layers, infer once per epoch, and compare the rows that survive with the official
    ones. Raises WrongRows if they differ; they are not compared if the official ones are not known,
    or with fewer than SETTLED layers."""
    images = images_of(work)
    with work.meter.phase("build"):
        layers = list(build(work, images))
    count, seconds = len(images.targets), []
    alive = np.zeros(count, dtype=bool)
    with work.meter.phase("infer"):
        scratch = tuple(Buffer(images.features) for _ in range(2))
        for epoch in range(1, work.epochs + 1):
            alive[:] = False
            begun = time.perf_counter()
            for step, start in enumerate(range(0, count, work.batch_size), 1):
                rows = np.arange(start, min(start + work.batch_size, count))
                alive[rows[infer(layers, images.batch(rows), skip_dead, scratch)]] = True
                work.progress(epoch, step, 0.0)
            seconds.append(time.perf_counter() - begun)
    agreement = None
    if images.known and len(layers) >= SETTLED:
        check(np.flatnonzero(alive), np.flatnonzero(images.targets))
        agreement = 1.0
    edges, passed = sum(layer.nnz for layer in layers), statistics.median(seconds)
    possible = sum(K * D for K, D in (layer.shape for layer in layers))
    return Result(
        measures={
            "neurons": images.features * (len(layers) + 1),
            "initial_connections": edges,
            "connections": edges,
            "dense_connections": possible,
            "density": edges / possible,
            "stored_bytes": sum(sum(layer.stored_bytes().values()) for layer in layers),
            "inference_seconds": passed,
            "edges_images_per_second": edges * count / passed,
            "surviving_rows": int(alive.sum()),
            "row_agreement": agreement,
        },
        layers=[
            {"shape": list(layer.shape), "connections": layer.nnz,
             "initial_connections": layer.nnz, "stored_bytes": layer.stored_bytes()}
            for layer in layers
        ],
        network=None,  # type: ignore[arg-type]
    )  # fmt: skip


def images_of(work: Work) -> Images:
    """The images of the trial. Raises Unsupported unless the data set and the topology are those of
    the Graph Challenge."""
    images = work.data.train.samples
    if not isinstance(images, Images):
        raise Unsupported("trainer 'graph-challenge' infers on the data set 'graph-challenge' only")
    if not isinstance(work.topology, RadixNet):
        raise Unsupported(
            "trainer 'graph-challenge' needs topology = 'radix-net', found "
            f"{type(work.topology).__name__}"
        )
    return images


def build(work: Work, images: Images) -> Iterator[Layer]:
    """Yield the layers one after the other: first the official ones, then generated ones."""
    bias = BIASES[images.features]
    for index, shape in enumerate(work.model.shapes(images.features, work.data.outputs)):
        pattern = pattern_of(work, images, index, shape)
        rng = generator(work.seed, "init", index)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, pattern.nnz, rng))
        yield work.layer(W, np.full(shape[0], bias, dtype=np.float32))


def pattern_of(work: Work, images: Images, index: int, shape: tuple[int, int]) -> CsrPattern:
    if index < images.official_layers():
        return images.official_pattern(index)
    assert isinstance(work.topology, RadixNet)
    return work.topology.pattern(index, shape)


def infer(layers: Sequence[Layer], X: Matrix, skip_dead: bool, scratch: tuple[Buffer, ...]) -> Rows:
    """The images (columns of X (D, N)) whose outputs in the last layer are not all 0.

    scratch  two buffers that are as wide as the widest layer
    """
    left: Rows = np.arange(X.shape[1])
    lit = np.ones(X.shape[1], dtype=bool)
    for number, layer in enumerate(layers):
        Z = scratch[number % 2].view(layer.shape[0], X.shape[1])
        layer.forward(X, Z)
        np.clip(Z, 0, CAP, out=Z)
        X = Z
        if skip_dead or number == len(layers) - 1:
            lit = Z.max(axis=0) > 0
        if not lit.any():
            return left[:0]
        if skip_dead and (kept := columns_left(lit)) is not None:
            X, left, lit = np.take(Z, kept, axis=1), left[kept], lit[kept]
    return left[lit]


def columns_left(lit: npt.NDArray[np.bool_]) -> Rows | None:
    """The columns to keep: those that are `lit`, filled up with others to whole vectors; None if
    these are all columns."""
    count = -(-int(np.count_nonzero(lit)) // VECTOR) * VECTOR
    if count >= lit.size:
        return None
    return np.sort(np.argsort(~lit, kind="stable")[:count])


def check(found: Rows, official: Rows) -> None:
    """Raise WrongRows, with a one-line message, unless the found rows are the official ones."""
    missing, surplus = (np.setdiff1d(a, b) for a, b in ((official, found), (found, official)))
    if missing.size or surplus.size:
        parts = [
            f"{rows.size} {what} (first: {rows[0]})"
            for rows, what in ((missing, "missing"), (surplus, "too many"))
            if rows.size
        ]
        raise WrongRows(
            f"{found.size} rows survive, and officially {official.size}: {' and '.join(parts)}"
        )


def warm_up(work: Work) -> None:
    """Infer on small layers, with small and large batches, for which a backend may have different
    kernels."""
    pattern = CsrPattern.full((VECTOR, VECTOR))
    for N in (4, 3 * VECTOR):
        rng = np.random.default_rng(0)
        W = CsrMatrix(pattern, work.model.initializer.draw(pattern, pattern.nnz, rng))
        layers = [work.layer(W, np.full(VECTOR, -0.3, dtype=np.float32)) for _ in range(2)]
        infer(layers, np.ones((VECTOR, N), dtype=np.float32), True, (Buffer(VECTOR),) * 2)
