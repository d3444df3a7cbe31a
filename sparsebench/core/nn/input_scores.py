"""How much a network relies on each of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sparsebench.core.arrays import Array, Matrix
from sparsebench.core.csr_batch import Batch
from sparsebench.core.protocols import Observable
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.gradients import spmm_t

GRADIENTS = 1 << 20
"""Gradients of inputs that are held at once."""


def strengths(W: CsrMatrix) -> Array:
    """(D,) the sum of each input's |w|.  W (K, D), the first layer"""
    return np.bincount(W.indices, np.abs(W.data), W.shape[1])


def degrees(W: CsrMatrix) -> Array:
    """(D,) the connections of each input."""
    return np.bincount(W.indices, minlength=W.shape[1]).astype(np.float64)


def samples_at_once(features: int) -> int:
    """Samples of a batch whose gradients are held at once."""
    return max(1, GRADIENTS // features)


def attribution(network: Observable, batches: Iterable[Batch], t: int) -> Array:
    """(D,) the sum over the outputs of the mean |gradient| with respect to each input, with the
    dropout masks of step t. Of each batch `outputs` times its size is computed, and D N held."""
    total, count = None, 0
    for batch in batches:
        count += batch.shape[1]
        for gradient in network.input_gradients(batch, t):
            sums = np.abs(gradient).sum(axis=1, dtype=np.float64)
            total = sums if total is None else total + sums
    assert total is not None
    mean: Array = total / count
    return mean


def mean_gradients(W: CsrMatrix, DZ: Matrix) -> Array:
    """(D,) the mean |gradient of a sample's loss| with respect to each input of the layer.

    DZ (K, N)  of the mean loss, so N times too small for a sample's
    """
    total = np.zeros(W.shape[1])
    for part in _parts(DZ, samples_at_once(W.shape[1])):
        total += np.abs(spmm_t(W, part)).sum(axis=1)
    return total


def _parts(DZ: Matrix, size: int) -> Iterator[Matrix]:
    for start in range(0, DZ.shape[1], size):
        yield np.ascontiguousarray(DZ[:, start : start + size])
