"""Scores of positions by the paths of length 3 between their ends: Cannistraci-Hebb theory.

A is a layer's pattern as a matrix of ones, (K, D); d the mean degree of its neurons. Scores are
made for blocks of rows and are 0 where no path leads, so that nothing of K x D is held: time
nnz d^2 on average, memory O(nnz d) for the common neighbours of inputs, and one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sparsebench.core.arrays import Mask, Vector
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench.core.sparse.positions import best
from sparsebench_plugins.topologies.candidates import Scored, noise

PATHS = 2**20
"""Paths of a block of rows, about: its arrays take some 30 bytes each."""

Scores = Callable[[Any, "Neighbours"], Any]


class Neighbours:
    """What both scores are made of.

    A            (K, D) csr of ones         At           (D, K)
    outputs      (K,) degrees               inputs       (D,) degrees
    of_inputs    (D, D) common outputs of two inputs, without the diagonal
    """

    def __init__(self, pattern: CsrPattern, keep: Mask) -> None:
        rows = np.flatnonzero(keep)
        indptr = np.searchsorted(rows, pattern.indptr)
        ones = np.ones(rows.size, dtype=np.float32)
        self.A = csr_array((ones, pattern.indices[keep], indptr), shape=pattern.shape)
        self.At = self.A.T.tocsr()
        self.outputs = np.diff(self.A.indptr)
        self.inputs = np.diff(self.At.indptr)
        self.of_inputs = _without_diagonal(self.At @ self.A)

    def of_outputs(self, first: int, last: int) -> Any:
        """(last - first, K) common inputs of each of these outputs and of any, but itself."""
        return _without_diagonal(self.A[first:last] @ self.At, first)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows of about PATHS paths each."""
        paths = np.cumsum(self.A @ (self.At @ self.outputs.astype(np.float64)))
        if not paths.size:
            return
        goals = np.arange(PATHS, paths[-1] + PATHS, PATHS)
        ends = np.minimum(np.searchsorted(paths, goals) + 1, paths.size)
        yield from pairwise(np.unique([0, *ends, paths.size]).tolist())


def _without_diagonal(common: Any, first: int = 0) -> Any:
    coo = common.tocoo()
    rows, columns = coo.coords
    apart = rows + first != columns
    return csr_array((coo.data[apart], (rows[apart], columns[apart])), shape=common.shape)


def ch3_l3(rows: tuple[int, int], near: Neighbours) -> Any:
    """Sum over paths u - z1 - z2 - v of 1 / sqrt((1 + e(z1)) (1 + e(z2))), e the links of z to the
    outside of u, v and all z of such paths.

    Of z1 all links but that to u and those to inputs of v lead outside, of z2 likewise; so each
    term depends on a pair of neurons of one side.
    """
    first, last = rows
    A = near.A[first:last]
    if A.nnz == 0:
        return csr_array(A.shape, dtype=np.float32)
    v = np.repeat(np.arange(last - first), np.diff(A.indptr))
    to_v = _outside(near.of_outputs(first, last), near.outputs)
    from_u = _outside(near.of_inputs, near.inputs, by_row=True)
    # one row for each link (v, z2): its z1, then the inputs u that these lead to
    half = near.At[A.indices].multiply(to_v[v]).tocsr()
    paths = (half @ near.A).multiply(from_u[A.indices]).tocsr()
    of_rows = (np.ones(v.size, np.float32), np.arange(v.size), A.indptr)
    return csr_array(of_rows, shape=(last - first, v.size)) @ paths


def ch2_l3(rows: tuple[int, int], near: Neighbours) -> Any:
    """The sum over nodes near v and u of (1 + common) / (1 + others): node-based.

    Both ends count: outputs j that share inputs with v and are linked to u, and inputs j that share
    outputs with u and are linked to v; common neighbours over those not in common.
    """
    first, last = rows
    by_outputs = _ratio(near.of_outputs(first, last), near.outputs) @ near.A
    by_inputs = near.A[first:last] @ _ratio(near.of_inputs, near.inputs, by_row=True)
    return by_outputs + by_inputs


def _outside(common: Any, degrees: Any, *, by_row: bool = False) -> Any:
    """1 / sqrt(degree - common) of the node z of each pair: that of the column, or of the row."""
    return _with(common, 1 / np.sqrt(np.maximum(1, _degree(common, degrees, by_row) - common.data)))


def _ratio(common: Any, degrees: Any, *, by_row: bool = False) -> Any:
    others = np.maximum(1, _degree(common, degrees, by_row) - common.data)
    return _with(common, (common.data + 1) / others)


def _degree(common: Any, degrees: Any, by_row: bool) -> Any:
    return np.repeat(degrees, np.diff(common.indptr)) if by_row else degrees[common.indices]


def _with(common: Any, data: Any) -> Any:
    found = (data.astype(np.float32), common.indices, common.indptr)
    return csr_array(found, shape=common.shape)


def predicted(layer: LayerView, keep: Mask, count: int, scores: Scores, soft: bool) -> Scored:
    """The `count` free positions with the highest scores, or drawn in proportion to them."""
    near = Neighbours(layer.W.pattern, keep)
    dtype = layer.W.indices.dtype
    found: Scored = (np.empty(0, dtype), np.empty(0, dtype), np.empty(0, np.float32))
    for block in near.blocks():
        S = scores(block, near).tocoo()
        rows, columns = (ends.astype(dtype) for ends in S.coords)
        rows = (rows + dtype.type(block[0])).astype(dtype)
        values: Vector = S.data.astype(np.float32)
        order = np.lexsort((columns, rows))
        rows, columns, values = rows[order], columns[order], values[order]
        free = layer.are_open(keep, rows, columns) & (values > 0)
        rows, columns, values = rows[free], columns[free], values[free]
        if soft:
            values = np.log(values) + noise(layer, rows, columns)
        r, c, s = (
            np.concatenate(pair) for pair in zip(found, (rows, columns, values), strict=True)
        )
        found = best(r, c, s, count)
    return found
