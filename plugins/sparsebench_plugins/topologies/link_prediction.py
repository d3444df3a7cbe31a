"""Scores of positions by the paths of length 3 between their ends: Cannistraci-Hebb theory.

A is a layer's pattern as a matrix of ones, (K, D); d is the mean degree of its neurons. For an
output v and an input u without a link, the paths are u - z1 - z2 - v, over outputs z1 and inputs
z2. Scores are computed row by row, and only for positions that have paths, so that no K x D array
is stored: time O(nnz d^2) on average, memory O(nnz).

CH3-L3p  the sum over the paths of 1 / sqrt((1 + e(z1)) (1 + e(z2))), where e(z) is the number of
         links of z that lead outside of u, v and all z of such paths. For z1 these are all links
         except that to u and those to inputs of v, and likewise for z2, so that e depends on pairs
         of neurons on the same side.
CH2-L3n  the sum over nodes near v and u of (1 + common neighbours) / (other neighbours, at least
         1). The nodes are outputs that share inputs with v and are linked to u, and inputs that
         share outputs with u and are linked to v.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench.core.sparse.positions import best
from sparsebench.core.sparse.threads import even_parts, threads_for
from sparsebench_plugins.topologies.candidates import Scored, noise
from sparsebench_plugins.topologies.path_scores import score_rows

ENTRIES = 2**14, 2**20
"""The least and the most scores in a block of rows. In between, a block has about two scores for
each connection. A single row may have more. Each score takes some 30 bytes."""


class Links:
    """The kept connections of a layer, by output and by input."""

    def __init__(self, pattern: CsrPattern, keep: Mask) -> None:
        rows = np.flatnonzero(keep)
        indptr = np.searchsorted(rows, pattern.indptr)
        ones = np.ones(rows.size, dtype=np.int8)
        A = csr_array((ones, pattern.indices[keep], indptr), shape=pattern.shape)
        At = A.T.tocsr()
        index = At.indices.dtype
        self._arrays = (
            A.indptr,
            A.indices.astype(index),
            At.indptr.astype(A.indptr.dtype),
            At.indices,
        )
        by_input = np.minimum(_times(At, np.diff(A.indptr)), pattern.shape[1])
        self._most = np.minimum(_times(A, by_input), pattern.shape[1]).astype(np.int64)
        """(K,) an upper bound of the number of scores in each row."""

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of rows with about the number of scores that ENTRIES allows."""
        scores = np.cumsum(self._most)
        if not scores.size:
            return
        each = int(np.clip(2 * self._arrays[1].size, *ENTRIES))
        goals = np.arange(each, scores[-1] + each, each)
        ends = np.minimum(np.searchsorted(scores, goals) + 1, scores.size)
        yield from pairwise(np.unique([0, *ends, scores.size]).tolist())

    def scores(self, first: int, last: int, by_paths: bool) -> Scored:
        """The positions of these rows that have paths, in ascending order, and their scores:
        CH3-L3p if `by_paths`, else CH2-L3n."""
        starts = np.concatenate([[0], np.cumsum(self._most[first:last])])
        columns = np.empty(starts[-1], dtype=self._arrays[1].dtype)
        scores = np.empty(starts[-1], dtype=np.float32)
        sizes = np.zeros(last - first, dtype=np.int64)
        with threads_for(int(starts[-1])):
            parts = even_parts(last - first)
            score_rows(parts, by_paths, *self._arrays, first, starts, columns, scores, sizes)
        used = np.repeat(starts[:-1] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        rows = np.repeat(np.arange(first, last, dtype=columns.dtype), sizes)
        return rows, columns[used], scores[used]


def _times(A: Any, x: Any) -> Any:
    """A x in float64, because counts of paths may exceed the integers of A's type."""
    ones = csr_array((np.ones(A.nnz), A.indices, A.indptr), shape=A.shape)
    return ones @ x.astype(np.float64)


def predicted(layer: LayerView, keep: Mask, count: int, by_paths: bool, soft: bool) -> Scored:
    """The `count` free positions with the highest scores; if `soft`, drawn with probabilities in
    proportion to their scores."""
    links = Links(layer.W.pattern, keep)
    dtype = layer.W.indices.dtype
    found: Scored = (np.empty(0, dtype), np.empty(0, dtype), np.empty(0, np.float32))
    for first, last in links.blocks():
        rows, columns, values = links.scores(first, last, by_paths)
        free = layer.are_open(keep, rows, columns)
        rows, columns, values = rows[free], columns[free], values[free]
        if soft:
            values = np.log(values) + noise(layer, rows, columns)
        r, c, s = (
            np.concatenate(pair) for pair in zip(found, (rows, columns, values), strict=True)
        )
        found = best(r, c, s, count)
    return found
