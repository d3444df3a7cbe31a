"""Redistributions: how dropped connections are shared out among the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sparsebench.core.methods.compose import share_out
from sparsebench.core.methods.protocols import Signal
from sparsebench.core.methods.view import LayerView
from sparsebench_plugins.redistributions.params import NoParams

Shares = Literal["own", "quotas", "ranked"]

FULLEST = 0.99
"""A layer fills at most this share of its free positions."""


class Own(NoParams):
    """Each layer grows as many as it dropped."""

    signals: tuple[Signal, ...] = ()
    shares: Shares = "own"

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        return list(dropped)


class ByMomentum(NoParams):
    """In proportion to the mean |momentum| of a layer's connections.

    SNFS, Dettmers and Zettlemoyer (2019), arXiv 1907.04840, momentum redistribution. What a layer
    has no room for goes to the others in equal parts. Deviations: the number grown is exact at
    each update, so nothing is smoothed into the next; a nearly dense layer drops what the method
    says.
    """

    signals: tuple[Signal, ...] = ("momentum",)
    shares: Shares = "quotas"

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        means = [float(np.abs(layer.momentum).mean()) if layer.W.nnz else 0.0 for layer in layers]
        room = [
            max(int(FULLEST * (layer.free() + lost)), lost)
            for layer, lost in zip(layers, dropped, strict=True)
        ]
        return share_out(sum(dropped), means if sum(means) > 0 else list(dropped), room)


class Ranked(NoParams):
    """Layers compete: the weakest of all are dropped and the best of all grown, by score."""

    signals: tuple[Signal, ...] = ()
    shares: Shares = "ranked"

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        return list(dropped)
