"""Growth among sampled positions, by their gradient."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.csr import Ints
from sparsebench.core.sparse.positions import best
from sparsebench.core.sparse.products import gradient_at
from sparsebench_plugins.grows import sampled
from sparsebench_plugins.grows.params import GseParams


class GseGrow(GseParams):
    """The largest |gradient| among gamma nnz sampled positions: O(nnz) time and memory.

    Heddes et al. (2024), arXiv 2401.06898, algorithm 2. Deviations: uniform candidates are drawn
    without replacement, so none is lost; where a distribution by ends leaves fewer free positions
    than are to be grown, uniform ones join them.
    """

    signals: tuple[Signal, ...] = ("batch",)
    ranks = True
    scans = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        rows, columns = self._sample(layer, keep, count)
        scores = np.abs(gradient_at(rows, columns, layer.X, layer.DZ))
        return Candidates(*best(rows, columns, scores, count))

    def _sample(self, layer: LayerView, keep: Mask, count: int) -> tuple[Ints, Ints]:
        """At least `count` free positions, if there are so many."""
        rng, share = layer.rng("candidates"), max(self.gamma, count / max(1, layer.W.nnz))
        if self.distribution == "uniform":
            return sampled.uniform(layer, keep, share, rng)
        signs = np.ones(layer.X.shape[1], dtype=np.float32)
        X, DZ = layer.X, layer.DZ
        if self.distribution == "graest":
            signs -= 2 * rng.integers(2, size=signs.size).astype(np.float32)
        else:
            X, DZ = np.abs(X), np.abs(DZ)
        outputs, inputs = (np.abs(of @ signs).astype(np.float64) for of in (DZ, X))
        found = sampled.by_ends(layer, keep, self.gamma, outputs, inputs, rng)
        if found[0].size < count:
            found = sampled.joined(found, sampled.uniform(layer, keep, share, rng))
        return found
