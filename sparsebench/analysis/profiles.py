"""Performance profiles: on what share of the data sets a method costs at most so many times the
cheapest. Dolan and Moré (2002), Mathematical Programming 91:201-213."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """ratios  the method's cost over the least of all methods, per data set, ascending;
    infinite where it did not get there"""

    method: str
    ratios: tuple[float, ...]

    def share(self, ratio: float) -> float:
        """The share of data sets, 0 to 1, on which the cost is at most `ratio` times the least."""
        return sum(one <= ratio * (1 + 1e-12) for one in self.ratios) / len(self.ratios)

    @property
    def solved(self) -> float:
        """The share of data sets on which the method got there at all."""
        return sum(map(math.isfinite, self.ratios)) / len(self.ratios)


def profiles(costs: Mapping[str, Sequence[float]]) -> list[Profile]:
    """A profile per method from its costs, one per data set in the same order.

    Costs are positive; infinite where the method did not get there. A data set on which none did
    counts for nobody.
    """
    if any(not cost > 0 for values in costs.values() for cost in values):
        raise ValueError("a cost is not positive")
    least = [min(column) for column in zip(*costs.values())]
    return [
        Profile(method, tuple(sorted(_ratio(c, low) for c, low in zip(values, least))))
        for method, values in costs.items()
    ]


def _ratio(cost: float, least: float) -> float:
    return cost / least if math.isfinite(cost) else math.inf
