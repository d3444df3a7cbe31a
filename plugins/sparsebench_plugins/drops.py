"""Drop criteria that look at the weights alone. Light: numpy is imported where it is used.

Of connections with equal scores the earlier is dropped first: `sparsebench.core.sparse.criteria`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Signal

if TYPE_CHECKING:
    from sparsebench.core.arrays import Vector
    from sparsebench.core.methods.view import LayerView


class WeightsOnly:
    """A drop criterion without signals, which ranks all weights together."""

    signals: ClassVar[tuple[Signal, ...]] = ()
    by_sign: ClassVar[bool] = False


@dataclass(frozen=True)
class PerSign(WeightsOnly):
    """The weakest positive and the weakest negative weights, the same share of each.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update.
    """

    by_sign: ClassVar[bool] = True

    def scores(self, layer: LayerView) -> Vector:
        return layer.W.data


@dataclass(frozen=True)
class Magnitude(WeightsOnly):
    """The smallest |w|, as RigL, SNFS and GraNet."""

    def scores(self, layer: LayerView) -> Vector:
        return abs(layer.W.data)


@dataclass(frozen=True)
class RandomDrop(WeightsOnly):
    """Every connection is as likely to go."""

    def scores(self, layer: LayerView) -> Vector:
        return layer.rng("drop").random(layer.W.nnz, dtype="float32")


@dataclass(frozen=True)
class SoftMagnitude(WeightsOnly):
    """Weights stay with a probability that grows with their magnitude.

    alpha  1 ranks by magnitude; 0 by magnitude relative to the other weights of both neurons
    start  sharpness delta at the start of training; 0 drops at random, towards 1 by rank alone
    end    sharpness at its end; in between it rises linearly

    CHTs, Zhang et al. (2025), the soft removal: S = (|w| / 2 (alpha + (1 - alpha) row sum) +
    |w| / 2 (alpha + (1 - alpha) column sum))^(delta / (1 - delta)), and those that stay are drawn
    in proportion to S without replacement. The highest log S plus Gumbel noise are such a draw.
    """

    alpha: Annotated[float, Interval(ge=0, le=1)] = 1.0
    start: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    end: Annotated[float, Interval(ge=0, lt=1)] = 0.75

    def scores(self, layer: LayerView) -> Vector:
        import numpy as np

        def mixed(sums: Vector) -> Vector:
            return np.float32(self.alpha) + np.float32(1 - self.alpha) * sums

        W = layer.W
        size = np.abs(W.data)
        columns = np.bincount(W.indices, weights=size, minlength=W.shape[1]).astype(np.float32)
        strength = size / mixed(W.row_sums_of_magnitude())[W.rows]
        strength += size / mixed(columns)[W.indices]
        with np.errstate(divide="ignore"):  # a weight of 0 goes first
            scores = np.log(strength / 2)
        delta = self.start + (self.end - self.start) * layer.step.step / layer.step.steps
        scores *= np.float32(delta / (1 - delta))
        scores += layer.rng("drop").gumbel(size=W.nnz).astype(np.float32)
        return scores
