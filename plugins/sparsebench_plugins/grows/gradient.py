"""Growth where the gradient is largest."""

from __future__ import annotations

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.top_gradient import largest_free_gradients
from sparsebench_plugins.grows.params import NoParams


class GradientGrow(NoParams):
    """The free positions with the largest |gradient| of one mini-batch.

    Evci et al. (2020), arXiv 1911.11134, section 3. The dense gradient is made in tiles of 256 KiB
    and never held: time K D N, memory O(nnz).
    """

    signals: tuple[Signal, ...] = ("batch",)
    ranks = True
    scans = True

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        closed = (layer.closed_rows, layer.closed_columns)
        found = largest_free_gradients(layer.X, layer.DZ, layer.W.pattern, keep, count, *closed)
        return Candidates(*found)
