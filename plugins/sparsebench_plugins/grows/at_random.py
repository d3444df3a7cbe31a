"""Growth at random."""

from __future__ import annotations

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.core.methods.view import LayerView
from sparsebench.core.sparse.sampling import free_positions
from sparsebench_plugins.grows.params import NoParams


class RandomGrow(NoParams):
    """Free positions, each as likely; those just dropped are free too, so that a full layer
    works. Mocanu et al. (2018), the topology update."""

    signals: tuple[Signal, ...] = ()
    ranks = False
    scans = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        closed = (layer.closed_rows, layer.closed_columns)
        rows, columns = free_positions(layer.W.pattern, keep, count, layer.rng(), *closed)
        return Candidates(rows, columns)
