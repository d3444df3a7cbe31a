"""What a probe measures of a backend that claims to be truly sparse, and how that grows with K D.

Free of heavy imports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sparsebench.core.audit.probe_sizes import MOST_GROWTH, Shape, Sizes

if TYPE_CHECKING:
    from pydantic import TypeAdapter

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
