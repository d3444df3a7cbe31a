"""Positions without a connection, sampled to be looked at more closely."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import Ints
from sparsebench.core.sparse.positions import distinct

Positions = tuple[Ints, Ints]


def uniform(layer: LayerView, keep: Mask, gamma: float) -> Positions:
    """ceil(gamma nnz) distinct free positions, or all there are, in rising order."""
    count = min(math.ceil(gamma * layer.W.nnz), math.prod(layer.W.shape))
    return layer.random_positions(keep, count, "candidates")


def by_ends(
    layer: LayerView,
    keep: Mask,
    gamma: float,
    outputs: npt.NDArray[np.float64],
    inputs: npt.NDArray[np.float64],
) -> Positions:
    """Free positions among ceil(gamma nnz) draws, each end by its own weights, rising.

    outputs (K,), inputs (D,)  at least 0; an end without weight is drawn only if all are without

    Draws that repeat, or meet a connection, give nothing, so there may be fewer. O(gamma nnz)
    memory beside the weights.
    """
    count = math.ceil(gamma * layer.W.nnz)
    ends = []
    for weights, closed in ((outputs, layer.closed_rows), (inputs, layer.closed_columns)):
        weights = weights if weights.any() else np.ones_like(weights)
        upto = np.cumsum(weights if closed is None else np.where(closed, 0.0, weights))
        drawn = np.empty(0)
        if upto[-1] > 0:
            random = layer.rng("candidates").random(count)
            drawn = np.searchsorted(upto, random * upto[-1], side="right")
        ends.append(np.minimum(drawn, weights.size - 1).astype(layer.W.indices.dtype))
    rows, columns = distinct(*ends)
    free = layer.are_open(keep, rows, columns)
    return rows[free], columns[free]


def joined(one: Positions, other: Positions) -> Positions:
    """The positions of both, each once, in rising order."""
    rows, columns = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    return distinct(rows, columns)
