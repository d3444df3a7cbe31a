"""How the time of a layer's calls grows with K D, for as many connections. Light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsebench.core.audit.evidence import Point

DENSE_GROWTH, SPARSE_GROWTH = 5.0, 3.0
"""How many times as long a call takes while K D grows 32 times. Above the first it is dense work,
below the second it is not, and between them nobody can tell. What the caches do to truly
sparse calls came to at most 1.5 on the layers of six backends; dense work came to 6 and more."""

FASTEST = 100.0
"""Entries of K D a nanosecond that no core passes over: growth that is shorter is none of K D."""


@dataclass(frozen=True)
class Growth:
    """What one call, or the declaration, does from the thin layers to the square one."""

    call: str
    least: float
    most: float
    factor: float


def suspicious(points: Sequence[Point]) -> bool:
    """Whether more repeats may still change what the seconds say."""
    return slowest_growth(points).factor >= SPARSE_GROWTH


def beyond_doubt(points: Sequence[Point]) -> bool:
    """Whether the seconds say that work is dense, whatever else runs on the machine."""
    return slowest_growth(points).factor >= 2 * DENSE_GROWTH


def slowest_growth(points: Sequence[Point]) -> Growth:
    """Of the call whose time grows most, the slower of the thin layers against the square one."""
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
    """Entries of K D of the square layer above a thin one's."""
    return points[-1].size - points[0].size
