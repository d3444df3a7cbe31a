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
"""The most gradients of inputs that are held in memory at once."""


def strengths(W: CsrMatrix) -> Array:
    """(D,) the sum of |w| over the connections of each input.  W (K, D), the first layer"""
    return np.bincount(W.indices, np.abs(W.data), W.shape[1])


def degrees(W: CsrMatrix) -> Array:
    """(D,) the number of connections of each input."""
    return np.bincount(W.indices, minlength=W.shape[1]).astype(np.float64)


def samples_at_once(features: int) -> int:
    """The number of samples whose input gradients, (features, samples), are held in memory at
    once."""
    return max(1, GRADIENTS // features)


def attribution(network: Observable, batches: Iterable[Batch], t: int) -> Array:
    """(D,) for each input, the sum over the network's outputs of the mean |gradient| of the output
    with respect to the input, with the dropout masks of step t. Each batch takes one backward pass
    per output, and memory D N."""
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
    """(D,) the mean over the samples of |gradient of the sample's loss| with respect to each input.

    DZ (K, N)  gradient of the mean loss, N times smaller than that of a sample's own loss
    """
    total = np.zeros(W.shape[1])
    for part in _parts(DZ, samples_at_once(W.shape[1])):
        total += np.abs(spmm_t(W, part)).sum(axis=1)
    return total


def _parts(DZ: Matrix, size: int) -> Iterator[Matrix]:
    for start in range(0, DZ.shape[1], size):
        yield np.ascontiguousarray(DZ[:, start : start + size])
