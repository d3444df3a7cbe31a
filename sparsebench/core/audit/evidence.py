"""The layers of an honesty probe, its measurements, and how they grow with K D. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Shape = tuple[int, int]

SIDES = (4096, 2048, 1024)
"""Sides of the square layer; the largest that fits is used. A dense float32 matrix takes 64, 16 or
4 MiB."""

NARROWING = 64
"""The thin layers' short side is this part of the square's side: K D is 32 times as small."""

PER_NEURON = 8
"""Connections by row of the square layer: two in each 4 KiB page of a dense float32 matrix, so
that seven of eight pages of one that is filled at the connections become resident."""

BATCH = 32
"""The largest batch: a smaller one of the trial is kept, since backends may have kernels for it."""

ARRAYS = 10
"""Dense float32 arrays that a simulated layer may hold at once: weights, mask, gradient, state,
and what an update takes for a moment, beside a thin layer and room to spare."""

DENSE_GROWTH, SPARSE_GROWTH = 5.0, 3.0
"""How many times as long a call takes while K D grows 32 times. Above the first it is dense work,
below the second it is not, and between them nobody can tell. What the caches do to truly
sparse calls came to at most 1.5 on the layers of six backends; dense work came to 6 and more."""

FASTEST = 100.0
"""Entries of K D a nanosecond that no core passes over: shorter growth does not come from K D."""


@dataclass(frozen=True)
class Sizes:
    """A square layer of this side, and two thin ones with as many neurons and connections: the
    three differ in K D and in nothing else."""

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

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def sizes_for(room: int, batch: int, *, largest: int = SIDES[0]) -> Sizes | None:
    """The largest layers that a dense backend could hold in `room` bytes; None where not even the
    smallest fit."""
    for side in SIDES:
        if side <= largest and 4 * ARRAYS * side * side <= room:
            return Sizes(side, max(1, min(batch, BATCH)))
    return None


@dataclass(frozen=True)
class Point:
    """The measurements of a layer of one shape.

    declared  bytes, the sum of `stored_bytes` after the calls
    held      bytes that the process held after them, above what it held before the layer
    peaks     call -> bytes at its highest moment, above the same; empty where the system has no
              high-water mark that can be reset
    seconds   call -> the shortest of its repeats
    """

    shape: Shape
    declared: int
    held: int
    peaks: dict[str, int]
    seconds: dict[str, float]

    @property
    def size(self) -> int:
        """K D."""
        return self.shape[0] * self.shape[1]

    def calmest(self, other: Point) -> Point:
        """The smaller of two measurements of a layer: other load only increases them."""
        return Point(
            self.shape,
            self.declared,
            min(self.held, other.held),
            {call: min(peak, other.peaks.get(call, peak)) for call, peak in self.peaks.items()},
            {call: min(took, other.seconds.get(call, took)) for call, took in self.seconds.items()},
        )


@dataclass(frozen=True)
class Evidence:
    """truly_sparse  as the backend declares; None if it does not
    points        thin, its transpose, square
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

    def calmest(self, other: Evidence) -> Evidence:
        """Combine with another probe of the same sizes."""
        a, b, c = (one.calmest(two) for one, two in zip(self.points, other.points, strict=True))
        return Evidence(self.truly_sparse, self.sizes, (a, b, c), self.spent + other.spent)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _evidence().dump_python(self, mode="json")
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Raises ValueError for what is no evidence."""
        return _evidence().validate_python(data)


@cache
def _evidence() -> TypeAdapter[Evidence]:
    from pydantic import TypeAdapter

    return TypeAdapter(Evidence)


@dataclass(frozen=True)
class Growth:
    """The growth of one call, or of the declaration, from the thin layers to the square one."""

    call: str
    least: float
    most: float
    factor: float


def suspicious(points: Sequence[Point]) -> bool:
    """Whether more repeats may still change the judgement of the seconds."""
    return slowest_growth(points).factor >= SPARSE_GROWTH


def beyond_doubt(points: Sequence[Point]) -> bool:
    """Whether the seconds show dense work even on a busy machine."""
    return slowest_growth(points).factor >= 2 * DENSE_GROWTH


def slowest_growth(points: Sequence[Point]) -> Growth:
    """The call whose time grows most, from the slower of the thin layers to the square one."""
    *thin, square = points
    least_growth = more_entries(points) / FASTEST * 1e-9
    growths = []
    for call, most in square.seconds.items():
        least = max(point.seconds[call] for point in thin)
        factor = most / max(least, 1e-9)
        if most - least < least_growth:
            factor = min(factor, SPARSE_GROWTH / 2)
        growths.append(Growth(call, least, most, factor))
    return max(growths, key=lambda growth: growth.factor)


def more_entries(points: Sequence[Point]) -> int:
    """Entries of K D that the square layer has more than a thin one."""
    return points[-1].size - points[0].size
