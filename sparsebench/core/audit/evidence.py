"""What a probe has measured, as data. Light."""

from __future__ import annotations

from collections.abc import Mapping
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
        """The least of two measurements of one layer: what else runs only adds to them."""
        return Point(
            self.shape,
            self.declared,
            min(self.held, other.held),
            {call: min(peak, other.peaks.get(call, peak)) for call, peak in self.peaks.items()},
            {call: min(took, other.seconds.get(call, took)) for call, took in self.seconds.items()},
        )


@dataclass(frozen=True)
class Evidence:
    """truly_sparse  what the backend says; None if it says nothing
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
        """Of two probes of the same sizes."""
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
