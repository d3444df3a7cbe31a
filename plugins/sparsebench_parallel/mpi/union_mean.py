"""The average of models whose connections differ, brought back to a number of connections."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.sparse.criteria import all_but_smallest
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench_parallel.mpi.topology_diff import found_in

Keys = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]


class UnionMean:
    """Mean over models of one layer, where a model without a connection counts as 0 there.

    Models are added one after the other and then no longer needed: O(connections of the union).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._keys: Keys = np.empty(0, dtype=np.int64)
        self._sums: Sums = np.empty(0, dtype=np.float64)
        self._models = 0
        self.connections: list[int] = []

    def add(self, W: CsrMatrix) -> None:
        keys = W.pattern.keys()
        union = np.union1d(self._keys, keys)
        sums = np.zeros(union.size, dtype=np.float64)
        sums[found_in(self._keys, union)[1]] = self._sums
        sums[found_in(keys, union)[1]] += W.data
        self._keys, self._sums = union, sums
        self._models += 1
        self.connections.append(W.nnz)

    def mean(self) -> CsrMatrix:
        """On the union of all connections."""
        pattern = CsrPattern.from_keys(self._shape, self._keys)
        return CsrMatrix(pattern, (self._sums / self._models).astype(np.float32))

    @property
    def mean_connections(self) -> int:
        """Of the models, rounded; a half to the even number."""
        return round(sum(self.connections) / self._models)


def weakest_dropped(w: Vector, count: int) -> Mask:
    """True for what stays when exactly `count` weights go, of each sign an equal share.

    With zeta = count / n, floor(zeta n) of the positive weights go, the smallest ones, and as
    large a share of the negative ones, the largest: the criterion of SET's topology update. If
    rounding leaves one short, it is of the sign whose share was cut by more, the positive one in
    a tie. 0 counts as positive; of equal weights the earlier goes.
    """
    keep = np.ones(w.size, dtype=bool)
    if count <= 0:
        return keep
    positive = w >= 0
    signs = (np.flatnonzero(positive), np.flatnonzero(~positive))
    shares = [divmod(count * sign.size, w.size) for sign in signs]
    going = [whole for whole, _ in shares]
    if sum(going) < count:
        going[0 if shares[0][1] >= shares[1][1] else 1] += 1
    for sign, gone in zip(signs, going, strict=True):
        keep[sign] = all_but_smallest(np.abs(w[sign]), gone)
    return keep


def pruned_to(W: CsrMatrix, connections: int) -> CsrMatrix:
    """W without its weakest weights, so that `connections` are left; W itself if it has fewer."""
    keep = weakest_dropped(W.data, W.nnz - connections)
    if keep.all():
        return W
    return CsrMatrix(CsrPattern.from_keys(W.shape, W.pattern.keys()[keep]), W.data[keep])
