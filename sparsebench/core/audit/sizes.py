"""The layers of a probe: three shapes that differ in K D and in nothing else. Light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Shape = tuple[int, int]

SIDES = (4096, 2048, 1024)
"""Of the square layer, the largest that fits: a dense float32 matrix takes 64, 16 or 4 MiB."""

NARROWING = 64
"""The thin layers' short side is this part of the square's side: K D is 32 times as small."""

PER_NEURON = 8
"""Connections by row of the square layer: two in each 4 KiB page of a dense float32 matrix, so
that seven of eight pages of one that is filled at the connections become resident."""

BATCH = 32
"""At most: a smaller batch of the trial stands, since backends may have kernels for it."""

ARRAYS = 10
"""Dense float32 arrays that a simulated layer may hold at once: weights, mask, gradient, state,
and what an update takes for a moment, beside a thin layer and room to spare."""


@dataclass(frozen=True)
class Sizes:
    """A square layer of this side, and two thin ones with as many neurons."""

    side: int
    batch: int

    @property
    def nnz(self) -> int:
        return PER_NEURON * self.side

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """(K, D) thin, its transpose, square: K + D is the same."""
        short = self.side // NARROWING
        long = 2 * self.side - short
        return ((short, long), (long, short), (self.side, self.side))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sizes:
        return cls(int(data["side"]), int(data["batch"]))


def sizes_for(room: int, batch: int, *, largest: int = SIDES[0]) -> Sizes | None:
    """The largest layers that a dense backend could hold in `room` bytes; None where not even the
    smallest fit."""
    for side in SIDES:
        if side <= largest and 4 * ARRAYS * side * side <= room:
            return Sizes(side, max(1, min(batch, BATCH)))
    return None
