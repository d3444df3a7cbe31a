"""Growth by a gradient that is smoothed over the steps since the last update."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Mask, Matrix
from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.positions import are_free, best
from sparsebench.core.sparse.products import gradient_at
from sparsebench_plugins.grows import sampled
from sparsebench_plugins.grows.params import MomentumParams

ROWS, COLUMNS, SMOOTHED = "candidate rows", "candidate columns", "candidate momentum"


class MomentumGrow(MomentumParams):
    """The largest |smoothed gradient| among candidates that are followed from one update to the
    next, each step by one SDDMM.

    SNFS, Dettmers and Zettlemoyer (2019), arXiv 1907.04840, momentum growth. Deviation: the paper
    smooths the gradient of every position, which is a dense array; here gamma nnz positions are
    followed, drawn uniformly after each update.
    """

    signals: tuple[Signal, ...] = ()
    ranks = True
    scans = False

    def after_backward(self, layer: LayerView, X: Matrix, DZ: Matrix) -> None:
        arrays, index = layer.state.arrays, layer.index
        if (ROWS, index) not in arrays:
            everything = np.ones(layer.W.nnz, dtype=bool)
            rng = layer.rng("candidates")
            found = sampled.uniform(layer, everything, self.gamma, rng)
            arrays[ROWS, index], arrays[COLUMNS, index] = found
            arrays[SMOOTHED, index] = np.zeros(found[0].size, dtype=np.float32)
        smoothed = arrays[SMOOTHED, index]
        gradient = gradient_at(arrays[ROWS, index], arrays[COLUMNS, index], X, DZ)
        smoothed *= np.float32(self.beta)
        smoothed += np.float32(1 - self.beta) * gradient

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        """Positions that were not followed have a score of 0, and come in only to make up the
        number."""
        arrays, index = layer.state.arrays, layer.index
        nothing = np.empty(0, dtype=layer.W.indices.dtype)
        rows = arrays.pop((ROWS, index), nothing)
        columns = arrays.pop((COLUMNS, index), nothing)
        scores = np.abs(arrays.pop((SMOOTHED, index), np.empty(0, dtype=np.float32)))
        free = self._open(layer, keep, rows, columns)
        rows, columns, scores = rows[free], columns[free], scores[free]
        if rows.size < count:
            share = count / max(1, layer.W.nnz)
            others = sampled.uniform(layer, keep, share, layer.rng("candidates"))
            followed = rows.astype(np.int64) * layer.W.shape[1] + columns
            rows, columns = sampled.joined((rows, columns), others)
            keys = rows.astype(np.int64) * layer.W.shape[1] + columns
            known = np.isin(keys, followed)
            all_scores = np.zeros(rows.size, dtype=np.float32)
            all_scores[known] = scores
            scores = all_scores
        return Candidates(*best(rows, columns, scores, count))

    def _open(self, layer: LayerView, keep: Mask, rows: Mask, columns: Mask) -> Mask:
        free = are_free(layer.W.pattern, keep, rows, columns)
        if layer.closed_rows is not None:
            free &= ~layer.closed_rows[rows]
        if layer.closed_columns is not None:
            free &= ~layer.closed_columns[columns]
        return free
