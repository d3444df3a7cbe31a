"""Which connections to drop."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sparsebench.sparse.csr import Mask

Vector = npt.NDArray[np.float32]


def all_but_smallest(scores: Vector, count: int) -> Mask:
    """True for all but the `count` smallest scores; of equal ones the earlier goes first."""
    keep = np.ones(scores.size, dtype=bool)
    if count <= 0:
        return keep
    if count >= scores.size:
        return np.zeros(scores.size, dtype=bool)
    limit = np.partition(scores, count - 1)[count - 1]
    below = scores < limit
    keep[below] = False
    ties = np.flatnonzero(scores == limit)
    keep[ties[: count - np.count_nonzero(below)]] = False
    return keep


def weakest_per_sign_dropped(w: Vector, zeta: float) -> Mask:
    """True for what stays after dropping the weakest `zeta` of each sign.

    floor(zeta n) of the n positive weights, the smallest ones, and as large a fraction of
    the negative ones, the largest; 0 counts as positive. Mocanu et al. (2018), the topology
    update. Deviation: of equal weights the earlier connection is dropped first.
    """
    keep = np.ones(w.size, dtype=bool)
    for chosen in (np.flatnonzero(w >= 0), np.flatnonzero(w < 0)):
        count = math.floor(zeta * chosen.size)
        keep[chosen] = all_but_smallest(np.abs(w[chosen]), count)
    return keep
