"""The layers with which a probe tests a claim to be truly sparse, what it measures, and how that
grows with K D.

Free of heavy imports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

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

DENSE_GROWTH, SPARSE_GROWTH = 5.0, 3.0
"""Limits for the factor by which a call's time grows while K D grows 32 times. Above the first
limit the call does dense work, below the second it does not, and between them it cannot be decided.
Measured on six backends, cache effects let truly sparse calls grow at most 1.5 times, and dense
work grew at least 6 times. If K D grows by another factor, the limits are scaled as powers of
it."""

FASTEST = 100.0
"""No core can visit this many entries of K D in a nanosecond. A call whose time grows by less than
that speed implies does not grow because of K D."""


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


@dataclass(frozen=True)
class Point:
    """The measurements of a layer of one shape.

    declared  bytes, the sum of `stored_bytes` after the calls
    held      bytes that the process held after them, above what it held before the layer
    peaks     call -> peak bytes during the call, above what the process held before the layer;
              empty if the system has no high-water mark that can be reset
    seconds   call -> the shortest of its repeats
    touched   call -> bytes of memory that it read or wrote, even if allocated before the call;
              empty if the system does not report this
    """

    shape: Shape
    declared: int
    held: int
    peaks: dict[str, int]
    seconds: dict[str, float]
    touched: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """K D."""
        return self.shape[0] * self.shape[1]

    def smaller_of_each(self, other: Point) -> Point:
        """The smaller of each two measurements of a layer, because other load only increases
        them."""
        return Point(
            self.shape,
            self.declared,
            min(self.held, other.held),
            {call: min(peak, other.peaks.get(call, peak)) for call, peak in self.peaks.items()},
            {call: min(took, other.seconds.get(call, took)) for call, took in self.seconds.items()},
            {call: min(used, other.touched.get(call, used)) for call, used in self.touched.items()},
        )


@dataclass(frozen=True)
class Evidence:
    """The measurements of one probe.

    truly_sparse  whether the backend declares itself truly sparse; None if it declares nothing
    points        for the thin layer, its transpose, and the square layer
    spent         seconds that the probe took, imports and compilation left out
    """

    truly_sparse: bool | None
    sizes: Sizes
    points: tuple[Point, Point, Point]
    spent: float

    @property
    def thin(self) -> tuple[Point, ...]:
        return self.points[:-1]

    @property
    def square(self) -> Point:
        return self.points[-1]

    def smaller_of_each(self, other: Evidence) -> Evidence:
        """Combine with another probe of the same sizes: the smaller of each two measurements, and
        the sum of the seconds spent."""
        a, b, c = (
            one.smaller_of_each(two) for one, two in zip(self.points, other.points, strict=True)
        )
        return Evidence(self.truly_sparse, self.sizes, (a, b, c), self.spent + other.spent)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _evidence().dump_python(self, mode="json")
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Raises ValueError if the data are not those of `to_json`."""
        return _evidence().validate_python(data)


@cache
def _evidence() -> TypeAdapter[Evidence]:
    from pydantic import TypeAdapter

    return TypeAdapter(Evidence)


@dataclass(frozen=True)
class Growth:
    """How much the seconds or bytes of one call grow from the thin layers to the square one.

    least, most  measured on the thin layers and on the square one
    factor       most / least, unless the difference is too small to come from K D
    """

    call: str
    least: float
    most: float
    factor: float


def suspicious(points: Sequence[Point]) -> bool:
    """Whether the time of a call grows too much to be judged sparse, so that more repeats may
    change the judgement."""
    return largest_growth(points).factor >= sparse_limit(points)


def beyond_doubt(points: Sequence[Point]) -> bool:
    """Whether the time of a call grows so much that it does dense work even if the machine is
    busy."""
    return largest_growth(points).factor >= 2 * dense_limit(points)


def dense_limit(points: Sequence[Point]) -> float:
    return _limit(points, DENSE_GROWTH)


def sparse_limit(points: Sequence[Point]) -> float:
    return _limit(points, SPARSE_GROWTH)


def _limit(points: Sequence[Point], at_most_growth: float) -> float:
    """A limit for these points, scaled from `at_most_growth`, the limit for K D that grows
    MOST_GROWTH times."""
    growth = points[-1].size / points[0].size
    return float(at_most_growth ** (math.log(growth) / math.log(MOST_GROWTH)))


def largest_growth(points: Sequence[Point]) -> Growth:
    """The call whose time grows most, from the slower of the thin layers to the square one."""
    *thin, square = points
    least_growth = more_entries(points) / FASTEST * 1e-9
    growths = []
    for call, most in square.seconds.items():
        least = max(point.seconds[call] for point in thin)
        factor = most / max(least, 1e-9)
        if most - least < least_growth:
            factor = min(factor, sparse_limit(points) / 2)
        growths.append(Growth(call, least, most, factor))
    return max(growths, key=lambda growth: growth.factor)


def more_entries(points: Sequence[Point]) -> int:
    """K D of the square layer minus K D of a thin one."""
    return points[-1].size - points[0].size
