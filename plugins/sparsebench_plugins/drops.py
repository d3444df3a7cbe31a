"""Drop criteria: scores of the connections. Free of heavy imports: functions import numpy.

Among connections with equal scores, the earlier is dropped first; see
`sparsebench.core.sparse.selection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.protocols import Signal

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask, Vector
    from sparsebench.core.methods.view import LayerView
    from sparsebench.core.sparse.csr import Ints


TINY = 1e-37
"""Replaces a divisor that is 0."""


class WeightsOnly:
    """A drop criterion without signals, which ranks all weights together."""

    signals: ClassVar[tuple[Signal, ...]] = ()
    by_sign: ClassVar[bool] = False


@dataclass(frozen=True)
class PerSign(WeightsOnly):
    """Drop the weakest positive and the weakest negative weights, the same share of each, which
    `core.sparse.selection.weakest_per_sign_dropped` selects.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update.
    """

    by_sign: ClassVar[bool] = True

    def scores(self, layer: LayerView) -> Vector:
        return layer.W.data


@dataclass(frozen=True)
class Magnitude(WeightsOnly):
    """Drop the smallest |w|, as in RigL, SNFS and GraNet."""

    def scores(self, layer: LayerView) -> Vector:
        return abs(layer.W.data)


@dataclass(frozen=True)
class RandomDrop(WeightsOnly):
    """Drop random connections; each is equally likely."""

    def scores(self, layer: LayerView) -> Vector:
        return layer.rng("drop").random(layer.W.nnz, dtype="float32")


@dataclass(frozen=True)
class SoftMagnitude(WeightsOnly):
    """Keep weights with a probability that grows with their magnitude.

    alpha  1 ranks by magnitude; 0 by magnitude relative to the other weights of both neurons
    start  sharpness delta at the start of training: 0 drops at random, near 1 by rank alone
    end    sharpness delta at the end of training; it rises linearly

    CHTs, Zhang et al. (2025), the soft removal: S = (|w| / 2 (alpha + (1 - alpha) row sum) +
    |w| / 2 (alpha + (1 - alpha) column sum))^(delta / (1 - delta)), and the kept weights are drawn
    with probabilities in proportion to S, without replacement. This is done by keeping the highest
    sums of log S and Gumbel noise.
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


@dataclass(frozen=True)
class RelativeImportance(WeightsOnly):
    """Drop the smallest |w| relative to the other weights of both neurons.

    Cannistraci-Hebb training's removal by relative importance, Zhang et al. (2025), arXiv
    2501.19107: |w_ij| / sum_j |w_ij| + |w_ij| / sum_i |w_ij|.
    """

    def scores(self, layer: LayerView) -> Vector:
        import numpy as np

        W = layer.W
        size = np.abs(W.data)

        def share(ends: Ints, count: int) -> Vector:
            sums = np.bincount(ends, weights=size, minlength=count)
            shares: Vector = (size / np.maximum(sums, TINY)[ends]).astype(np.float32)
            return shares

        scores: Vector = share(W.rows, W.shape[0]) + share(W.indices, W.shape[1])
        return scores


@dataclass(frozen=True)
class Threshold(WeightsOnly):
    """Drop all weights with |w| below a threshold, but at most the fraction zeta.

    below  threshold of |w|
    """

    below: Annotated[float, Interval(gt=0)] = 1e-3

    def scores(self, layer: LayerView) -> Vector:
        return abs(layer.W.data)

    def strongest(self, scores: Vector, fraction: float) -> Mask:
        from sparsebench.core.sparse.selection import all_but_smallest

        weak = int((scores < self.below).sum())
        return all_but_smallest(scores, min(weak, int(fraction * scores.size)))


class WithGradient:
    """A drop criterion that uses the gradients of the connections on one mini-batch, computed by
    SDDMM."""

    signals: ClassVar[tuple[Signal, ...]] = ("batch",)
    by_sign: ClassVar[bool] = False


@dataclass(frozen=True)
class Mest(WithGradient):
    """Drop the smallest |w| + gamma |g|.

    gamma  factor of |g|: 0.01 as in the code of Cannistraci-Hebb training; Fantastic Weights uses 1

    Yuan et al. (2021), arXiv 2110.14032. The released code ranks by |w| only, as `magnitude` does.
    """

    gamma: Annotated[float, Interval(ge=0)] = 0.01

    def scores(self, layer: LayerView) -> Vector:
        return abs(layer.W.data) + layer.W.data.dtype.type(self.gamma) * abs(layer.gradient)


@dataclass(frozen=True)
class Snip(WithGradient):
    """Drop the smallest |w g|: by how much the loss would change without the connection, to first
    order.

    Lee et al. (2019), arXiv 1810.02340; used as a drop criterion by Nowak et al. (2023), "Fantastic
    weights and how to find them", arXiv 2306.12230.
    """

    def scores(self, layer: LayerView) -> Vector:
        return abs(layer.W.data * layer.gradient)


@dataclass(frozen=True)
class Sensitivity(WithGradient):
    """Drop the smallest |g| / |w|.

    reciprocal  drop the smallest |w| / |g| instead

    Nowak et al. (2023), arXiv 2306.12230. A quotient with divisor 0 counts as large, 0 / 0 as 0.
    """

    reciprocal: bool = False

    def scores(self, layer: LayerView) -> Vector:
        import numpy as np

        over, under = abs(layer.gradient), abs(layer.W.data)
        if self.reciprocal:
            over, under = under, over
        divisor: Vector = np.maximum(under, np.float32(TINY)).astype(np.float32)
        quotient: Vector = over / divisor
        return quotient
