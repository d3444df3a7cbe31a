"""Cannistraci-Hebb training: growth by link prediction, from the topology alone.

Zhang et al. (2024), Epitopological learning and Cannistraci-Hebb network shape intelligence (ICLR);
Zhang et al. (2025), arXiv 2501.19107 (CHTs, CHTss).

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench.registry import OfKind
from sparsebench_plugins.topologies.dynamic import (
    DensitySchedule,
    Drop,
    Dynamic,
    Grow,
    Initializer,
    LaterBool,
    Settles,
    Zeta,
)

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.methods.view import LayerView


@dataclass(frozen=True)
class Ch3L3:
    """The free positions with the most paths of length 3 between their ends, each path weighted
    by how few links of its middle lead elsewhere: CH3-L3p.

    soft  draw in proportion to the score, without replacement

    Deviations: ties and positions without a path are decided at random only once no path is left;
    the released code adds 1e-5 to each score. See `link_prediction` for what it costs.
    """

    soft: bool = False

    signals: ClassVar[tuple[Signal, ...]] = ()
    ranks: ClassVar[bool] = True
    scans: ClassVar[bool] = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        from sparsebench_plugins.topologies.candidates import filled_up
        from sparsebench_plugins.topologies.link_prediction import predicted

        found = predicted(layer, keep, count, True, self.soft)
        return filled_up(layer, keep, found, count)


@dataclass(frozen=True)
class Ch2L3(Ch3L3):
    """As ch3-l3, scored from pairs of neurons and not from paths: CH2-L3n, several times faster.

    Deviation: only nodes that share a neighbour with an end count. The released code's dense
    matrices hold 1 / degree for all others too, which no path leads through.
    """

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        from sparsebench_plugins.topologies.candidates import filled_up
        from sparsebench_plugins.topologies.link_prediction import predicted

        found = predicted(layer, keep, count, False, self.soft)
        return filled_up(layer, keep, found, count)


@dataclass(frozen=True)
class SoftCh2L3(Ch2L3):
    """ch2-l3, drawn in proportion to the score."""

    soft: bool = True


@dataclass(frozen=True)
class CHT(Dynamic):
    """Drop the smallest weights and what is cut off by that, grow where paths of length 3 lead.

    Zhang et al. (2024). Every layer but the full last one; the first connections by the
    correlation of inputs; a layer stays as it is once 90 % of what it drops grows again.
    Deviation: grown weights are 0 as released, where the paper draws them (`grown = "swi"`).
    """

    allocation: Annotated[Any, OfKind("allocation")] = "csti"
    grown: Initializer = "zeros"
    grow: Grow = "ch3-l3"
    dense_last: LaterBool = True
    percolates: LaterBool = True
    settles: Settles = 0.9


@dataclass(frozen=True)
class CHTs(Dynamic):
    """CHT with soft rules: what stays and what grows is drawn, in proportion to weights and scores.

    Zhang et al. (2025), arXiv 2501.19107. Deviations: the sharpness of the removal rises linearly
    as the text says, where the MLP code uses the exponent 1 + 2 t / T; the learning rate has no
    warm-up behind each update.
    """

    allocation: Annotated[Any, OfKind("allocation")] = "csti"
    grown: Initializer = "last"
    drop: Drop = "soft-magnitude"
    grow: Grow = "ch2-l3-soft"
    dense_last: LaterBool = True
    percolates: LaterBool = True


@dataclass(frozen=True)
class CHTss(CHTs):
    """CHTs from half density on, whose connections fall by a logistic function.

    Zhang et al. (2025), arXiv 2501.19107. Deviation: connections are placed by correlation at the
    start too, and the fall ends with the last update.
    """

    zeta: Zeta = 0.3
    density_schedule: DensitySchedule = "sigmoid"
