"""Positions without a connection, sampled to be looked at more closely."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import Ints
from sparsebench.core.sparse.positions import are_free, distinct
from sparsebench.core.sparse.sampling import free_positions

Weights = npt.NDArray[np.float64]


def uniform(
    layer: LayerView, keep: Mask, gamma: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """ceil(gamma nnz) distinct free positions, or all there are, in rising order."""
    closed = (layer.closed_rows, layer.closed_columns)
    count = min(math.ceil(gamma * layer.W.nnz), math.prod(layer.W.shape))
    return free_positions(layer.W.pattern, keep, count, rng, *closed)


def by_ends(
    layer: LayerView,
    keep: Mask,
    gamma: float,
    outputs: Weights,
    inputs: Weights,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Free positions among ceil(gamma nnz) draws, each end by its own weights, rising.

    outputs (K,), inputs (D,)  at least 0; an end without weight is drawn only if all are without

    Draws that repeat, or meet a connection, give nothing, so there may be fewer.
    """
    count = math.ceil(gamma * layer.W.nnz)
    dtype = layer.W.indices.dtype
    rows = _draw(_open(outputs, layer.closed_rows), count, rng).astype(dtype)
    columns = _draw(_open(inputs, layer.closed_columns), count, rng).astype(dtype)
    rows, columns = distinct(rows, columns)
    free = are_free(layer.W.pattern, keep, rows, columns)
    return rows[free], columns[free]


def joined(one: tuple[Ints, Ints], other: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """The positions of both, each once."""
    rows, columns = (np.concatenate(pair) for pair in zip(one, other))
    return distinct(rows, columns)


def _open(weights: Weights, closed: Mask | None) -> Weights:
    weights = np.ones_like(weights) if not weights.any() else weights
    return weights if closed is None else np.where(closed, 0.0, weights)


def _draw(weights: Weights, count: int, rng: np.random.Generator) -> Ints:
    """Numbers of weights, each as likely as it is large; O(count) memory beside the weights."""
    upto = np.cumsum(weights)
    if not upto[-1] > 0:
        return np.empty(0, dtype=np.int64)
    drawn = np.searchsorted(upto, rng.random(count) * upto[-1], side="right")
    numbers: Ints = np.minimum(drawn, weights.size - 1)
    return numbers
