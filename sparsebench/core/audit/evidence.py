"""The measurements of an honesty probe, and how they grow with K D. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparsebench.core.audit.sizes import Sizes


@dataclass(frozen=True)
class Point:
    """A layer of one shape.

    declared  bytes, the sum of `stored_bytes` after the calls
    held      bytes that the process held after them, above what it held before the layer
    peaks     call -> bytes at its highest moment, above the same; empty where the system has no
              high-water mark that can be reset
    seconds   call -> the shortest of its repeats
    """

    shape: tuple[int, int]
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
    points: tuple[Point, ...]
    spent: float

    @property
    def thin(self) -> tuple[Point, ...]:
        return self.points[:-1]

    @property
    def square(self) -> Point:
        return self.points[-1]

    def calmest(self, other: Evidence) -> Evidence:
        """Combine with another probe of the same sizes."""
        points = tuple(one.calmest(two) for one, two in zip(self.points, other.points, strict=True))
        return Evidence(self.truly_sparse, self.sizes, points, self.spent + other.spent)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        points = tuple(
            Point(
                shape=(int(point["shape"][0]), int(point["shape"][1])),
                declared=int(point["declared"]),
                held=int(point["held"]),
                peaks={str(call): int(peak) for call, peak in point["peaks"].items()},
                seconds={str(call): float(took) for call, took in point["seconds"].items()},
            )
            for point in data["points"]
        )
        if len(points) != len(Sizes(1, 1).shapes):
            raise ValueError(f"{len(points)} points")
        sizes = Sizes.from_json(data["sizes"])
        return cls(data["truly_sparse"], sizes, points, float(data["spent"]))


DENSE_GROWTH, SPARSE_GROWTH = 5.0, 3.0
"""How many times as long a call takes while K D grows 32 times. Above the first it is dense work,
below the second it is not, and between them nobody can tell. What the caches do to truly
sparse calls came to at most 1.5 on the layers of six backends; dense work came to 6 and more."""

FASTEST = 100.0
"""Entries of K D a nanosecond that no core passes over: growth that is shorter is none of K D."""


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
