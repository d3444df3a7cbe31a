"""Samples free positions as candidates for growth."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.methods.protocols import Candidates
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import Ints
from sparsebench.core.sparse.positions import distinct

Positions = tuple[Ints, Ints]
Scored = tuple[Ints, Ints, Vector]


def uniform(layer: LayerView, keep: Mask, gamma: float) -> Positions:
    """ceil(gamma nnz) distinct random free positions, or all free ones if there are fewer, in
    ascending order."""
    count = min(math.ceil(gamma * layer.W.nnz), math.prod(layer.W.shape))
    return layer.random_positions(keep, count, "candidates")


def by_ends(
    layer: LayerView,
    keep: Mask,
    gamma: float,
    outputs: npt.NDArray[np.float64],
    inputs: npt.NDArray[np.float64],
) -> Positions:
    """The distinct free positions among ceil(gamma nnz) random draws, in ascending order. Rows and
    columns are drawn independently, with probabilities in proportion to these weights.

    outputs (K,), inputs (D,)  weights, at least 0; if all are 0, each is equally likely

    There may be fewer than ceil(gamma nnz) positions, because draws repeat or hit connections.
    Takes O(gamma nnz) memory besides the weights.
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


def filled_up(layer: LayerView, keep: Mask, found: Scored, count: int) -> Candidates:
    """The `count` best of these free positions, in ascending order. If there are fewer, random ones
    are added, which rank below all that were found."""
    rows, columns, scores = found
    if rows.size < count:
        others = uniform(layer, keep, count / max(1, layer.W.nnz))
        D = layer.W.shape[1]
        known = rows.astype(np.int64) * D + columns
        rows, columns = joined((rows, columns), others)
        keys = rows.astype(np.int64) * D + columns
        scores, ranked = np.full(keys.size, -np.inf, dtype=np.float32), scores
        scores[np.searchsorted(keys, known)] = ranked
    return Candidates(rows, columns, scores).best(count)


def completed(layer: LayerView, keep: Mask, found: Positions, count: int) -> Positions:
    """At most `count` of these free positions, in ascending order; if there are fewer, random ones
    are added."""
    if found[0].size >= count:
        return found[0][:count], found[1][:count]
    D = layer.W.shape[1]
    others = uniform(layer, keep, count / max(1, layer.W.nnz))
    known = found[0].astype(np.int64) * D + found[1]
    fresh = np.flatnonzero(~np.isin(others[0].astype(np.int64) * D + others[1], known))
    rng = layer.rng("candidates")
    some = rng.permutation(fresh)[: count - found[0].size]
    return joined(found, (others[0][some], others[1][some]))


def noise(layer: LayerView, rows: Ints, columns: Ints) -> Vector:
    """(count,) Gumbel noise that depends only on the update and the position, so that additional
    candidates do not change the noise of others. Choosing the highest sums of log p and this noise
    draws positions without replacement, with probabilities in proportion to p."""
    key = layer.rng("candidates noise").integers(2**64, dtype=np.uint64)
    at = rows.astype(np.uint64) * np.uint64(layer.W.shape[1]) + columns.astype(np.uint64)
    with np.errstate(over="ignore"):
        bits = mixed(at + key)
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54
    gumbel: Vector = (-np.log(-np.log(uniform))).astype(np.float32)
    return gumbel


def mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Splitmix64's finaliser (Steele et al. 2014, doi 10.1145/2660193.2660195)."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def joined(one: Positions, other: Positions) -> Positions:
    """The union of two sets of positions, in ascending order."""
    rows, columns = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    return distinct(rows, columns)
