"""Grow criteria that depend only on one mini-batch, or on nothing: random and by gradient. Free of
heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sparsebench.core.methods.protocols import Candidates, Signal

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.methods.view import LayerView


@dataclass(frozen=True)
class RandomGrow:
    """Grow at random free positions, each equally likely. Positions of connections just dropped
    count as free, so that a full layer works. Mocanu et al. (2018), the topology update."""

    signals: ClassVar[tuple[Signal, ...]] = ()
    ranks: ClassVar[bool] = False
    scans: ClassVar[bool] = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        return Candidates(*layer.random_positions(keep, count))


@dataclass(frozen=True)
class GradientGrow:
    """Grow at the free positions with the largest |gradient| of one mini-batch, which
    `core.sparse.gradients.largest_free_gradients` finds.

    Evci et al. (2020), arXiv 1911.11134, section 3. The dense gradient is computed in tiles of 256
    KiB and never stored: time O(K D N), memory O(nnz).
    """

    signals: ClassVar[tuple[Signal, ...]] = ("batch",)
    ranks: ClassVar[bool] = True
    scans: ClassVar[bool] = True

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        return Candidates(*layer.largest_gradients(keep, count))
