"""Redistributions: how many connections each layer grows, of all that were dropped.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sparsebench.core.methods.protocols import Signal

if TYPE_CHECKING:
    from sparsebench.core.methods.view import LayerView

Shares = Literal["own", "quotas", "ranked"]

FULLEST = 0.99
"""A layer fills at most this share of its free positions, unless it dropped more connections."""


@dataclass(frozen=True)
class Own:
    """Each layer grows as many as it dropped."""

    signals: ClassVar[tuple[Signal, ...]] = ()
    shares: ClassVar[Shares] = "own"

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        return list(dropped)


@dataclass(frozen=True)
class Ranked(Own):
    """Layers compete: the weakest connections of all layers are dropped, and the best candidates of
    all layers are grown, by their scores."""

    shares: ClassVar[Shares] = "ranked"


@dataclass(frozen=True)
class ByMomentum:
    """Each layer grows a number in proportion to the mean |momentum| of its connections.

    SNFS, Dettmers and Zettlemoyer (2019), arXiv 1907.04840, momentum redistribution. Connections
    for which a layer has no room are divided equally among the others. Deviations: the number of
    grown connections is exact at each update, so nothing is carried over to the next; a nearly
    dense layer drops the same fraction as others.
    """

    signals: ClassVar[tuple[Signal, ...]] = ("momentum",)
    shares: ClassVar[Shares] = "quotas"

    def quotas(self, layers: Sequence[LayerView], dropped: Sequence[int]) -> list[int]:
        from sparsebench.core.methods.compose import share_out

        means = [float(abs(layer.momentum).mean()) if layer.W.nnz else 0.0 for layer in layers]
        room = [
            max(int(FULLEST * (layer.free() + lost)), lost)
            for layer, lost in zip(layers, dropped, strict=True)
        ]
        return share_out(sum(dropped), means if sum(means) > 0 else list(dropped), room)
