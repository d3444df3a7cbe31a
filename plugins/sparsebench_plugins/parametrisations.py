"""Parametrisations, which compute the network's weights from trained parameters, and the methods
that use them.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from sparsebench.registry import OmittedIfDefault
from sparsebench_plugins.topologies.dynamic import Dynamic, Static, Steps, Zeta

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask, Vector
    from sparsebench.core.sparse.csr import CsrPattern


@dataclass(frozen=True)
class Thresholds:
    """The parametrisation of `DstThresholds`.

    penalty  alpha: weight of the sum of exp(-threshold) in the loss
    least    thresholds of a layer restart from 0 if at most this share of its weights is left
    """

    penalty: float
    least: float = 0.01

    def start(self, pattern: CsrPattern) -> dict[str, Vector]:
        import numpy as np

        return {"thresholds": np.zeros(pattern.shape[0], dtype=np.float32)}

    def weights(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> Vector:
        import numpy as np

        seen: Vector = np.where(self._over(theta, pattern, own) >= 0, theta, np.float32(0))
        return seen

    def gradients(
        self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector], DW: Vector
    ) -> tuple[Vector, dict[str, Vector]]:
        import numpy as np

        over = self._over(theta, pattern, own)
        slope = surrogate(over) * theta * DW  # of the mask, at each weight
        of_theta: Vector = DW * (over >= 0) + slope * np.sign(theta)
        sums = np.bincount(pattern.rows, slope, pattern.shape[0])
        pull = self.penalty * np.exp(-own["thresholds"].astype(np.float64))
        return of_theta.astype(np.float32), {"thresholds": (-sums - pull).astype(np.float32)}

    def after_step(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> None:
        if (self._over(theta, pattern, own) >= 0).mean() <= self.least:
            own["thresholds"][...] = 0

    def _over(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> Vector:
        over: Vector = abs(theta) - own["thresholds"][pattern.rows]
        return over


def surrogate(x: Vector) -> Vector:
    """A surrogate for the derivative of a step function: 2 - 4 |x| up to 0.4, 0.4 up to 1, then
    0."""
    import numpy as np

    size = np.abs(x)
    slope: Vector = np.where(size <= 0.4, 2 - 4 * size, np.where(size <= 1, 0.4, 0.0)).astype(
        np.float32
    )
    return slope


@dataclass(frozen=True)
class DstThresholds(Static):
    """Each neuron has a trained threshold; weights below it count as 0 and may come back later.

    penalty  alpha: weight of the sum of exp(-threshold) in the loss; larger makes networks sparser

    Liu et al. (2020), arXiv 2005.06870, Dynamic sparse training. The derivative of the mask is
    taken as 2 - 4 |x| up to 0.4, 0.4 up to 1, then 0. If at most 1 % of a layer's weights are left,
    its thresholds restart from 0. All weights of the pattern are stored, by default those of a full
    network; with a lower density the method chooses among fewer connections. The observer
    `nonzero-weights` counts the weights that are left.
    """

    density: Annotated[float, Interval(gt=0, le=1)] | None = 1.0
    penalty: Annotated[float, Interval(ge=0)] = 0.0005

    @property
    def parametrisation(self) -> Thresholds:
        return Thresholds(self.penalty)


@dataclass(frozen=True)
class Strongest:
    """The parametrisation of `TopKast`: the network uses only the parameters with the largest
    |theta|.

    share    share of a layer's parameters that the network uses
    penalty  weight of theta squared / 2; for unused parameters it is 1 / density times as large
    density  density of the used parameters
    """

    share: float
    penalty: float
    density: float

    def start(self, pattern: CsrPattern) -> dict[str, Vector]:
        return {}

    def weights(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> Vector:
        import numpy as np

        seen: Vector = np.where(self._seen(theta), theta, np.float32(0))
        return seen

    def gradients(
        self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector], DW: Vector
    ) -> tuple[Vector, dict[str, Vector]]:
        import numpy as np

        factor = np.where(self._seen(theta), np.float32(1), np.float32(1 / self.density))
        of_theta: Vector = DW + np.float32(self.penalty) * factor * theta
        return of_theta, {}

    def after_step(self, theta: Vector, pattern: CsrPattern, own: Mapping[str, Vector]) -> None:
        pass

    def _seen(self, theta: Vector) -> Mask:
        from sparsebench.core.sparse.selection import all_but_smallest

        return all_but_smallest(abs(theta), theta.size - max(1, round(self.share * theta.size)))


@dataclass(frozen=True)
class TopKast(Dynamic):
    """The network uses the largest weights. Further connections are trained without being used, so
    that they can become large.

    explored  number of unused trained connections for each used one
    penalty   weight of the squared weights; for unused ones it is 1 / density times as large

    Jayakumar et al. (2021), arXiv 2106.03517. `density` is that of all trained connections, the
    paper's backward density. The used connections are chosen again at each step. Deviations: the
    paper stores and ranks all weights of a full network; here only trained connections are stored,
    and the weakest tenth is replaced at random every 100 steps.
    """

    zeta: Zeta = 0.1
    update_every: Steps | None = 100
    explored: Annotated[float, Interval(ge=0), OmittedIfDefault()] = 0.5
    penalty: Annotated[float, Interval(ge=0), OmittedIfDefault()] = 0.0001

    @property
    def parametrisation(self) -> Strongest:
        share = 1 / (1 + self.explored)
        return Strongest(share, self.penalty, share * (self.density or 1.0))
