"""Guided stochastic exploration: growth among sampled positions.

Heddes et al. (2024), arXiv 2401.06898.

Free of heavy imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Interval

from sparsebench.core.methods.protocols import Candidates, Signal
from sparsebench_plugins.topologies.dynamic import (
    Dynamic,
    Grow,
    Initializer,
    Redistribution,
    Steps,
    Until,
    Update,
    Zeta,
)

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import Ints


@dataclass(frozen=True)
class GseGrow:
    """Grow at the largest |gradient| among gamma nnz sampled positions, in O(nnz) time and memory.

    gamma         candidates for each connection of the layer
    distribution  how candidates are drawn: uniform; grabo: inputs by their sums over the samples of
                  |x|, outputs by those of |delta|, the gradient of a neuron's pre-activation;
                  graest: by |sums| of x and delta with a random sign for each sample

    Algorithm 2. Deviations: uniform candidates are drawn without replacement, so that none is lost.
    If grabo or graest give fewer free positions than are to be grown, uniform ones are added.
    """

    gamma: Annotated[float, Interval(gt=0)] = 1.0
    distribution: Literal["uniform", "grabo", "graest"] = "uniform"

    signals: ClassVar[tuple[Signal, ...]] = ("batch",)
    ranks: ClassVar[bool] = True
    scans: ClassVar[bool] = False

    def candidates(self, layer: LayerView, keep: Mask, count: int) -> Candidates:
        rows, columns = self._sample(layer, keep, count)
        return Candidates(rows, columns, abs(layer.gradient_at(rows, columns))).best(count)

    def _sample(self, layer: LayerView, keep: Mask, count: int) -> tuple[Ints, Ints]:
        """At least `count` free positions, or all if there are fewer."""
        import numpy as np

        from sparsebench_plugins.topologies.candidates import by_ends, joined, uniform

        gamma = max(self.gamma, count / max(1, layer.W.nnz))
        if self.distribution == "uniform":
            return uniform(layer, keep, gamma)
        X, DZ = layer.X, layer.DZ
        signs = np.ones(X.shape[1], dtype=np.float32)
        if self.distribution == "graest":
            random = layer.rng("candidates").integers(2, size=signs.size)
            signs -= 2 * random.astype(np.float32)
        else:
            X, DZ = np.abs(X) if isinstance(X, np.ndarray) else abs(X), np.abs(DZ)
        outputs, inputs = (np.abs(of @ signs).astype(np.float64) for of in (DZ, X))
        found = by_ends(layer, keep, self.gamma, outputs, inputs)
        if found[0].size < count:
            found = joined(found, uniform(layer, keep, gamma))
        return found


@dataclass(frozen=True)
class Gse(Dynamic):
    """RigL on sampled positions, over all layers together, in O(nnz) time and memory.

    Deviations: those of the growth; the weakest connections of all layers are dropped before the
    growth, while the released code drops after it.
    """

    zeta: Zeta = 0.2
    grown: Initializer = "zeros"
    update_every: Steps | None = 1000
    update_until: Until | None = 0.6
    grow: Grow = "gse"
    update: Update = "cosine"
    redistribution: Redistribution = "global"
