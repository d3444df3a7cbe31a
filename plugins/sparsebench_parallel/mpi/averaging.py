"""Averages models whose connections differ, and prunes the average to a number of connections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import AppliedChange, CsrMatrix, CsrPattern, Keys
from sparsebench.core.sparse.selection import all_but_smallest
from sparsebench_parallel.mpi.topology_diff import Encoded, apply_pattern, decode, found_in


class UnionMean:
    """The mean of one layer over models; a model without a connection counts as 0 there.

    Models are added one by one and not stored: memory is O(connections of the union).

    connections  number of connections in each model
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._keys: Keys = np.empty(0, dtype=np.int64)
        self._sums = np.empty(0, dtype=np.float64)
        self.connections: list[int] = []

    def add(self, W: CsrMatrix) -> None:
        keys = W.pattern.keys()
        union = np.union1d(self._keys, keys)
        sums = np.zeros(union.size, dtype=np.float64)
        sums[found_in(self._keys, union)[1]] = self._sums
        sums[found_in(keys, union)[1]] += W.data
        self._keys, self._sums = union, sums
        self.connections.append(W.nnz)

    def mean(self) -> CsrMatrix:
        """The mean on the union of all connections."""
        pattern = CsrPattern.from_keys(self._shape, self._keys)
        return CsrMatrix(pattern, (self._sums / len(self.connections)).astype(np.float32))

    @property
    def mean_connections(self) -> int:
        """The models' mean number of connections, rounded; a half to the even number."""
        return round(sum(self.connections) / len(self.connections))


def weakest_dropped(w: Vector, count: int) -> Mask:
    """A mask that is False for exactly `count` weights, the weakest of each sign in equal shares.

    This is the criterion of SET's topology update: with zeta = count / n, the floor(zeta n)
    smallest of the n positive weights are dropped, and likewise of the negative ones. If rounding
    leaves one too few, one more is dropped of the sign that lost more by rounding, or of the
    positive sign in a tie. 0 counts as positive; among equal weights the earlier is dropped.
    """
    keep = np.ones(w.size, dtype=bool)
    if count <= 0:
        return keep
    signs = (np.flatnonzero(w >= 0), np.flatnonzero(w < 0))
    (positive, rest), (negative, other_rest) = (divmod(count * s.size, w.size) for s in signs)
    if positive + negative < count:
        positive, negative = positive + (rest >= other_rest), negative + (rest < other_rest)
    for sign, dropped in zip(signs, (positive, negative), strict=True):
        keep[sign] = all_but_smallest(np.abs(w[sign]), dropped)
    return keep


def pruned_to(W: CsrMatrix, connections: int) -> CsrMatrix:
    """W without its weakest weights (see `weakest_dropped`), so that `connections` are left. W
    itself if it has no more than that."""
    keep = weakest_dropped(W.data, W.nnz - connections)
    if keep.all():
        return W
    return CsrMatrix(CsrPattern.from_keys(W.shape, W.pattern.keys()[keep]), W.data[keep])


class ModelMean:
    """The mean of the workers' models. A weight is averaged over all models, where a model without
    that connection counts as 0; other arrays are averaged elementwise."""

    def __init__(self, patterns: Sequence[CsrPattern]) -> None:
        """patterns  the patterns with which all models started"""
        self._patterns = patterns
        self._unions = [UnionMean(pattern.shape) for pattern in patterns]
        self._others: npt.NDArray[np.float64] | float = 0.0
        self._models = 0

    def add(self, changed: Encoded, values: Vector) -> None:
        """Add a model.

        changed  how its connections differ from the patterns with which it started
        values   the arrays of `Network.values`, concatenated
        """
        others, at = [], 0
        changes = decode(changed, self._patterns)
        for old, change, union in zip(self._patterns, changes, self._unions, strict=True):
            pattern = old if change is None else AppliedChange(old, change).pattern
            data, bias, _ = np.split(values[at:], [pattern.nnz, pattern.nnz + pattern.shape[0]])
            union.add(CsrMatrix(pattern, data))
            others.append(bias)
            at += data.size + bias.size
        self._others = self._others + np.concatenate([*others, values[at:]]).astype(np.float64)
        self._models += 1

    def move_into(self, network: Network, target: str) -> int:
        """Give the network the connections and values of the mean, pruned to `target`. Returns the
        number of connections before that pruning, over all layers.

        target  number of connections to keep in each layer: `workers`: the mean number of the
                models; `master`: as many as the network has now
        """
        others = np.asarray(self._others / self._models, dtype=np.float32)
        values, at, total = [], 0, 0
        for layer, union in zip(network.layers, self._unions, strict=True):
            mean = union.mean()
            total += mean.nnz
            W = pruned_to(mean, union.mean_connections if target == "workers" else layer.nnz)
            apply_pattern(layer, W.pattern)
            values += [W.data, others[at : at + W.shape[0]]]
            at += W.shape[0]
        for array in network.parameters().values():
            values.append(others[at : at + array.size])
            at += array.size
        network.assign(values)
        return total
