"""Drop criteria that look at the weights alone."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Vector
from sparsebench.core.methods.protocols import Signal
from sparsebench.core.methods.view import LayerView
from sparsebench_plugins.drops.params import NoParams, SoftMagnitudeParams


class PerSign(NoParams):
    """The weakest positive and the weakest negative weights, the same share of each.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update.
    """

    signals: tuple[Signal, ...] = ()
    by_sign = True

    def scores(self, layer: LayerView) -> Vector:
        return layer.W.data


class Magnitude(NoParams):
    """The smallest |w|, as RigL, SNFS and GraNet."""

    signals: tuple[Signal, ...] = ()
    by_sign = False

    def scores(self, layer: LayerView) -> Vector:
        return np.abs(layer.W.data)


class RandomDrop(NoParams):
    """Every connection is as likely to go."""

    signals: tuple[Signal, ...] = ()
    by_sign = False

    def scores(self, layer: LayerView) -> Vector:
        return layer.rng("drop").random(layer.W.nnz, dtype=np.float32)


class SoftMagnitude(SoftMagnitudeParams):
    """Weights stay with a probability that grows with their magnitude.

    CHTs, Zhang et al. (2025), the soft removal: S = (|w| / 2 (alpha + (1 - alpha) row sum) +
    |w| / 2 (alpha + (1 - alpha) column sum))^(delta / (1 - delta)), and those that stay are drawn
    in proportion to S without replacement. The highest log S plus Gumbel noise are such a draw.
    """

    signals: tuple[Signal, ...] = ()
    by_sign = False

    def scores(self, layer: LayerView) -> Vector:
        W = layer.W
        size = np.abs(W.data)
        columns = np.bincount(W.indices, weights=size, minlength=W.shape[1]).astype(np.float32)
        strength = size / self._mixed(W.row_sums_of_magnitude())[W.rows]
        strength += size / self._mixed(columns)[W.indices]
        with np.errstate(divide="ignore"):  # a weight of 0 goes first
            scores = np.log(strength / 2)
        delta = self.start + (self.end - self.start) * layer.step.step / layer.step.steps
        scores *= np.float32(delta / (1 - delta))
        scores += layer.rng("drop").gumbel(size=W.nnz).astype(np.float32)
        return scores

    def _mixed(self, sums: Vector) -> Vector:
        return np.float32(self.alpha) + np.float32(1 - self.alpha) * sums
