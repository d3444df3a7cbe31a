"""The density or size at which truly sparse and simulated training cost the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from sparsebench.core.sizes import SizedBackend
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Entry

BELOW, ABOVE = 0.0, math.inf
"""Where the costs would be equal if they are not between the measured points."""


@dataclass(frozen=True)
class Crossover:
    """Where two costs are equal, between `least` and `most`; BELOW or ABOVE if nowhere there,
    nan if they cross more than once or the wrong way round.

    low, high  over every combination of seeds; nan if there is one seed, or no one crossing
    seeds      of the point and backend that has the fewest
    """

    at: float
    low: float
    high: float
    least: float
    most: float
    points: int
    seeds: int


def crossover(
    x: Sequence[float],
    sparse: Sequence[Sequence[float]],
    simulated: Sequence[Sequence[float]],
    *,
    sparse_first: bool,
) -> Crossover | None:
    """From the costs of every seed at each x, which ascends; None for fewer than two points.

    `sparse_first`: truly sparse is the cheaper one at small x, as along densities; along sizes
    it is at large x. A choice of one seed at each point and backend gives one curve of ratios.
    All of them lie between the curve of least ratios and that of most, so these two curves
    bound where any of them passes 1.
    """
    if len(x) < 2:
        return None
    pairs = list(zip(sparse, simulated, strict=True))
    curves = [
        [math.log(fmean(a) / fmean(b)) for a, b in pairs],
        [math.log(min(a) / max(b)) for a, b in pairs],
        [math.log(max(a) / min(b)) for a, b in pairs],
    ]
    sign = 1.0 if sparse_first else -1.0
    at, one, other = (equal_at(x, [sign * r for r in curve]) for curve in curves)
    seeds = min(len(values) for pair in pairs for values in pair)
    low, high = (math.nan, math.nan) if seeds < 2 else (min(one, other), max(one, other))
    return Crossover(at, low, high, x[0], x[-1], len(x), seeds)


def equal_at(x: Sequence[float], rising: Sequence[float]) -> float:
    """Where `rising` passes 0, straight between two points of log x; see `Crossover`."""
    positive = [value > 0 for value in rising]
    if all(positive):
        return BELOW
    if not any(positive):
        return ABOVE
    if positive != sorted(positive):
        return math.nan
    right = positive.index(True)
    share = -rising[right - 1] / (rising[right] - rising[right - 1])
    return between(x[right - 1], x[right], share)


def between(low: float, high: float, share: float) -> float:
    """Straight on a logarithmic axis."""
    return math.exp((1 - share) * math.log(low) + share * math.log(high))


def truly_sparse(names: Iterable[str]) -> dict[str, bool]:
    """Whether each backend is truly sparse, as far as the installed plugins declare it."""
    known = load_plugins()["backend"]
    found = {name: declares_sparse(known[name]) for name in names if name in known}
    return {name: value for name, value in found.items() if value is not None}


def declares_sparse(entry: Entry) -> bool | None:
    """From its parameters, which imports nothing heavy; else from its class."""
    try:
        parameters = entry.parameters()()
        if isinstance(parameters, SizedBackend):
            return parameters.truly_sparse
        said = None if entry.unavailable() else getattr(entry.load(), "truly_sparse", None)
    except (SparsebenchError, TypeError, ValueError):
        return None
    return said if isinstance(said, bool) else None
