"""The sizes of the layers and batches with which a probe tests a claim to be truly sparse."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

Shape = tuple[int, int]

SIDES = (4096, 2048, 1024)
"""Possible sides of the square layer. The probe takes the one nearest to the trial's layer that
fits into memory. A dense float32 matrix of these sides takes 64, 16 or 4 MiB."""

SPARSEST, DENSEST = 2.0**-9, 2.0**-4
"""Densities of the square layer, in powers of two. Below the first, less than two connections would
lie in each 4 KiB page of a dense float32 matrix, so that one that is filled at the connections
might not become resident; above the second, sparse work is hardly less than dense work."""

MOST_GROWTH = 32
"""How many times larger K D is in the square layer than in the thin ones; less if the thin ones
would be denser than `FULLEST`."""

FULLEST = 0.5
"""The highest density of a thin layer."""

ARRAYS, SAMPLE_ARRAYS = 10, 8
"""The most dense (K, D) float32 arrays that a simulated layer holds at once (weights, mask,
gradient, optimizer state, and temporaries of an update), with a margin; and the most (neurons,
samples) arrays."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a square layer, and of two thin ones with the same number of neurons and of
    connections, so that the three differ only in K D.

    side     neurons of the square layer, K = D
    batch    samples of a batch
    density  of the square layer
    network  whether the layer is probed in a network with the trial's model and topology
    """

    side: int
    batch: int
    density: float = SPARSEST
    network: bool = False

    @property
    def nnz(self) -> int:
        return round(self.density * self.side**2)

    @property
    def growth(self) -> float:
        """K D of the square layer over that of the thin ones, roughly."""
        return min(MOST_GROWTH, FULLEST / self.density)

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """(K, D) thin, its transpose, square: K + D is the same."""
        short = math.floor(self.side * (1 - math.sqrt(1 - 1 / self.growth)))
        long = 2 * self.side - short
        return ((short, long), (long, short), (self.side, self.side))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        what = "networks with layers" if self.network else "layers"
        return (
            f"{what} up to {self.side} x {self.side}, {100 * self.density:.2g} % dense "
            f"({self.nnz:,} connections), batches of {self.batch}"
        )


def sizes_for(
    room: int, batch: int, *, side: int = SIDES[0], density: float = SPARSEST
) -> Sizes | None:
    """The sizes nearest to this side and density that a dense backend could hold in `room` bytes;
    None if not even the smallest fit. The batch size is not changed, because backends have special
    kernels for some batch sizes."""
    batch = max(1, batch)
    nearest = min(SIDES, key=lambda one: abs(math.log(one / max(side, 1))))
    for one in SIDES:
        needed = 4 * (ARRAYS * one**2 + SAMPLE_ARRAYS * 2 * one * batch)
        if one <= nearest and needed <= room:
            return Sizes(one, batch, nearest_density(density))
    return None


def nearest_density(density: float) -> float:
    """The power of two that is nearest to this density, from SPARSEST to DENSEST."""
    nearest = 2.0 ** round(math.log2(max(density, SPARSEST / 2)))
    return min(max(nearest, SPARSEST), DENSEST)
