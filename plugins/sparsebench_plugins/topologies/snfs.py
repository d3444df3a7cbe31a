"""Sparse networks from scratch: growth by a gradient that is smoothed over the steps.

Dettmers and Zettlemoyer (2019), arXiv 1907.04840.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench_plugins.topologies.dynamic import (
    Dynamic,
    Grow,
    Initializer,
    Redistribution,
    Update,
    Zeta,
)

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask, Matrix
    from sparsebench.core.csr_batch import Batch
    from sparsebench.core.methods.view import LayerView

FOLLOWED = "candidate momentum"


@dataclass(frozen=True)
class MomentumGrow:
    """Grow at the largest |smoothed gradient| among candidate positions, whose gradients are
    tracked from one update to the next by an SDDMM in each step.

    gamma  candidates for each connection of the layer
    beta   decay rate of the smoothed gradient m = beta m + (1 - beta) g

    Deviation: the paper smooths the gradients of all positions, in a dense array; here gamma nnz
    positions are tracked, which are drawn uniformly after each update.
    """

    gamma: Annotated[float, Interval(gt=0)] = 1.0
    beta: Annotated[float, Interval(ge=0, lt=1)] = 0.9

    signals: ClassVar[tuple[Signal, ...]] = ()
    ranks: ClassVar[bool] = True
    scans: ClassVar[bool] = False

    def after_backward(self, layer: LayerView, X: Batch, DZ: Matrix) -> None:
        import numpy as np

        from sparsebench.core.sparse.gradients import gradient_at
        from sparsebench_plugins.topologies.candidates import uniform

        followed, key = layer.state.positions, (FOLLOWED, layer.index)
        if key not in followed:
            found = uniform(layer, np.ones(layer.W.nnz, dtype=bool), self.gamma)
            followed[key] = (*found, np.zeros(found[0].size, dtype=np.float32))
        rows, columns, smoothed = followed[key]
        gradient = gradient_at(rows, columns, X, DZ)
        smoothed *= np.float32(self.beta)
        smoothed += np.float32(1 - self.beta) * gradient

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        """As `Grow.candidates`. Positions that were not tracked are added only if there are too few
        tracked ones."""
        import numpy as np

        from sparsebench_plugins.topologies.candidates import filled_up

        nothing = np.empty(0, dtype=layer.W.indices.dtype)
        found = layer.state.positions.pop(
            (FOLLOWED, layer.index), (nothing, nothing, np.empty(0, dtype=np.float32))
        )
        rows, columns, scores = found[0], found[1], np.abs(found[2])
        free = layer.are_open(keep, rows, columns)
        return filled_up(layer, keep, (rows[free], columns[free], scores[free]), count)


@dataclass(frozen=True)
class Snfs(Dynamic):
    """The smoothed gradient decides where connections grow, and in which layer.

    Deviations: those of its growth and its redistribution; the drop fraction falls to 0, in the
    released code only to 0.005.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    grow: Grow = "momentum"
    update: Update = "cosine"
    redistribution: Redistribution = "momentum"
