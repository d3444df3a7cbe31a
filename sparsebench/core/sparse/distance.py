"""The distance between the topologies of two networks with layers of the same shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array


def nnstd(one: Sequence[Any], other: Sequence[Any]) -> list[float]:
    """Neural network sparse topology distance (NNSTD) of each layer, 0 to 1.

    one, other  weights of each layer as scipy's csr (K, D), first layer first

    Liu et al. (2020), arXiv 2006.14085: the hidden neurons of both networks are matched so that the
    mean of |A xor B| / |A or B| over the pairs is least, where A and B are the sets of inputs of
    the two neurons. This mean is the layer's distance. For the next layer, neurons are renumbered
    as they were matched. The network's outputs keep their numbers. Memory O(K^2), time O(K^3): for
    networks of some thousand neurons per layer. Raises ValueError if the shapes differ.
    """
    if [W.shape for W in one] != [W.shape for W in other]:
        raise ValueError("the networks have different shapes")
    distances, matched = [], np.arange(one[0].shape[1])
    for number, (W, V) in enumerate(zip(one, other, strict=True), 1):
        renumbered = _ones(matched[W.indices], W.indptr, W.shape)
        cost = _costs(renumbered, _ones(V.indices, V.indptr, V.shape))
        rows = columns = np.arange(W.shape[0])
        if number < len(one):
            rows, columns = linear_sum_assignment(cost)
        distances.append(float(cost[rows, columns].mean()))
        matched = columns
    return distances


def _ones(indices: npt.NDArray[Any], indptr: npt.NDArray[Any], shape: tuple[int, int]) -> Any:
    return csr_array((np.ones(len(indices)), indices, indptr), shape=shape)


def _costs(A: Any, B: Any) -> npt.NDArray[np.float64]:
    """(K, K) 1 - |A and B| / |A or B| for each pair of rows; 0 if both are empty."""
    common = (A @ B.T).toarray()
    either = np.diff(A.indptr)[:, None] + np.diff(B.indptr)[None, :] - common
    costs: npt.NDArray[np.float64] = np.where(either > 0, 1 - common / np.maximum(either, 1), 0.0)
    return costs
