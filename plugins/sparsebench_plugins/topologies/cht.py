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
    """Grow at the free positions with the highest CH3-L3p score: the number of paths of length 3
    between their ends, where a path counts more if fewer links of its middle nodes lead elsewhere.

    soft  draw positions with probabilities in proportion to the score, without replacement

    Deviations: of equal scores, the earlier position is grown; random positions without a path are
    grown only if there are too few with one. The released code adds 1e-5 to each score instead.
    `link_prediction` states time and memory.
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
    """As ch3-l3, with the score CH2-L3n, which is computed from pairs of neurons instead of paths
    and is several times faster.

    Deviation: only nodes that share a neighbour with an end count. The released code's dense
    matrices also have 1 / degree for other nodes, although no path leads through them.
    """

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        from sparsebench_plugins.topologies.candidates import filled_up
        from sparsebench_plugins.topologies.link_prediction import predicted

        found = predicted(layer, keep, count, False, self.soft)
        return filled_up(layer, keep, found, count)


@dataclass(frozen=True)
class SoftCh2L3(Ch2L3):
    """As ch2-l3, but positions are drawn with probabilities in proportion to the score."""

    soft: bool = True


@dataclass(frozen=True)
class CHT(Dynamic):
    """Drop the smallest weights and connections that are cut off by that; grow where paths of
    length 3 lead.

    Zhang et al. (2024). All layers but the last, which is full, are updated. The first connections
    are placed by the correlation of inputs. A layer is no longer updated once 90 % of its dropped
    connections grow again. Deviation: grown weights are 0 as in the released code, while the paper
    draws them (`grown = "swi"`).
    """

    allocation: Annotated[Any, OfKind("allocation")] = "csti"
    grown: Initializer = "zeros"
    grow: Grow = "ch3-l3"
    dense_last: LaterBool = True
    percolates: LaterBool = True
    settles: Settles = 0.9


@dataclass(frozen=True)
class CHTs(Dynamic):
    """CHT with soft rules: kept and grown connections are drawn at random, with probabilities in
    proportion to weights and scores.

    Zhang et al. (2025), arXiv 2501.19107. Deviations: the sharpness of the removal rises linearly
    as in the text, while the MLP code uses the exponent 1 + 2 t / T; the learning rate has no
    warm-up after each update.
    """

    allocation: Annotated[Any, OfKind("allocation")] = "csti"
    grown: Initializer = "last"
    drop: Drop = "soft-magnitude"
    grow: Grow = "ch2-l3-soft"
    dense_last: LaterBool = True
    percolates: LaterBool = True


@dataclass(frozen=True)
class CHTss(CHTs):
    """CHTs that starts at half density; the number of connections then falls as a logistic
    function.

    Zhang et al. (2025), arXiv 2501.19107. Deviations: the first connections are placed by
    correlation too, and the density stops falling at the last update.
    """

    zeta: Zeta = 0.3
    density_schedule: DensitySchedule = "sigmoid"
