"""Feature selection in which a network's inputs are removed and added again during training.

Atashgahi et al. (2023), Supervised feature selection with neuron evolution in sparse neural
networks (NeuroFS), arXiv 2303.07200.

Free of heavy imports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import LayerUpdate, Signal
from sparsebench_plugins.topologies.dynamic import Drop, Dynamic, Grow, LaterBool, Zeta

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparsebench.core.arrays import Mask, Vector
    from sparsebench.core.methods.view import LayerView, NetworkView

AGES = "ages of inputs"
"""Name of the state with each input's age: the number of updates for which it has been open; CLOSED
for an input that may have no connection."""

CLOSED = -1
PLAIN = 2
"""The number of first updates that leave all inputs open."""


@dataclass(frozen=True, eq=False)
class WithoutInputs:
    """Drops all connections of the leaving inputs; a criterion decides about those of other inputs.

    leaving  (D,) True for the leaving inputs
    """

    leaving: Mask
    others: Any

    by_sign: ClassVar[bool] = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        signals: tuple[Signal, ...] = self.others.signals
        return signals

    def scores(self, layer: LayerView) -> Vector:
        scores: Vector = self.others.scores(layer).copy()
        scores[self.leaving[layer.W.indices]] = math.inf  # which no weight is
        return scores

    def strongest(self, scores: Vector, fraction: float) -> Mask:
        import numpy as np

        from sparsebench.core.methods.compose import strongest

        keep: Mask = np.isfinite(scores)
        keep[keep] = strongest(self.others, scores[keep], fraction)
        return keep


@dataclass(frozen=True)
class NeuroFS(Dynamic):
    """Inputs are closed during training, which means that they lose their connections: the weakest
    first. Some are opened again, by their gradients. Hidden layers drop by sign and grow by
    gradient.

    keep         number of inputs to select
    zeta_inputs  share of the closed inputs that is exchanged, which falls to 0 at the end of
                 training; also the fraction of the open inputs' connections that an update drops
    removal      share of all steps after which the number of open inputs stays the same

    The strength of an input is the sum of its |w|. The weakest open inputs are closed at an even
    rate up to `removal`. In addition, some open inputs are exchanged for the closed ones with the
    largest gradients; an opened input stays open until the update after the next. As in the
    released code, keep + zeta_inputs D inputs stay open, of which the strongest are selected, and
    the first two updates leave all inputs open. The gradient takes time O(K D N), in tiles; memory
    is O(nnz + D).

    Deviations: uses the gradient of the loss over the next mini-batch, while the released code uses
    that of the summed softmax outputs over all samples, which is 0 except for rounding. A layer has
    fewer connections if its open inputs have no room for more.
    """

    keep: Annotated[int, Interval(gt=0)] = 50
    zeta_inputs: Zeta = 0.2
    removal: Annotated[float, Interval(gt=0, le=1)] = 0.65
    drop: Drop = "per-sign"
    grow: Grow = "gradient"
    dense_last: LaterBool = True

    def layer_updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        part = self.takes_part(network.count)
        if 0 not in part:
            yield from super().layer_updates(network)
            return
        leaving, closed = self._evolved(network.layer(0))

        def narrowed(index: int) -> LayerView:
            layer = network.layer(index)
            shut = closed if layer.closed_columns is None else closed | layer.closed_columns
            return replace(layer, closed_columns=shut if shut.any() else None)

        of_inputs: Any = self
        if closed.any():
            drop = WithoutInputs(leaving, self.drop)
            of_inputs = replace(self, drop=drop, zeta=self.zeta_inputs)
        first = Dynamic.layer_updates(
            replace(of_inputs, evolve="all", layers=(0,)), replace(network, layer=narrowed)
        )
        yield next(first, LayerUpdate())
        others: Iterator[LayerUpdate] = repeat(LayerUpdate(), network.count)
        if part[1:]:
            rest = replace(self, evolve="all", layers=tuple(part[1:]))
            others = Dynamic.layer_updates(rest, network)
        yield from islice(others, 1, None)

    def _evolved(self, layer: LayerView) -> tuple[Mask, Mask]:
        """Update the ages. Returns (D,) masks of the inputs to close now, and of all inputs that
        are closed afterwards."""
        import numpy as np

        W, step = layer.W, layer.step
        D = W.shape[1]
        ages = layer.state.arrays.setdefault((AGES, 0), np.zeros(D, dtype=np.int32))
        leaving: Mask = np.zeros(D, dtype=bool)
        if ages.max() < PLAIN:
            ages += 1
            return leaving, leaving
        closed: Mask = ages == CLOSED
        already = int(closed.sum())
        progress = step.step / step.steps
        to_close = max(0, int((1 - self.zeta_inputs) * D) - self.keep)
        target = math.ceil(to_close * min(1.0, progress / self.removal))
        fewer = max(0, target - already)
        exchanged = int(already * self.zeta_inputs * (1 - progress))
        strength = np.bincount(W.indices, np.abs(W.data), D)
        strength[closed] = np.inf
        leaving[np.argsort(strength, kind="stable")[: fewer + exchanged]] = True
        if already < to_close:
            leaving &= ages > 0
        came = self._coming(layer, closed, max(0, int(leaving.sum()) - fewer))
        ages[~closed] += 1
        ages[leaving] = CLOSED
        ages[came] = 0
        return leaving, ages == CLOSED

    def _coming(self, layer: LayerView, closed: Mask, count: int) -> npt.NDArray[np.int64]:
        """The `count` closed inputs with the largest |gradient| at any neuron; random ones if the
        grow criterion uses no mini-batch."""
        import numpy as np

        from sparsebench.core.sparse.gradients import largest_of_columns

        known = np.flatnonzero(closed)
        if count == 0:
            return known[:0]
        if "batch" not in self.grow.signals:
            return layer.rng("inputs").permutation(known)[:count]
        sizes = largest_of_columns(layer.X, layer.DZ, known)
        best: npt.NDArray[np.int64] = known[np.argsort(-sizes, kind="stable")[:count]]
        return best
