"""Finds the size at which two fitted laws are equal, where one backend overtakes the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.analysis.fits import Fit, Law
from sparsebench.analysis.statistics import Interval

POINTS = 400
"""The number of sizes that are tried between the smallest and the largest that both measured."""


@dataclass(frozen=True)
class FitCrossing:
    """The size at which the laws of two backends are equal, for one measure, setting and topology.

    at        number of connections
    interval  95 % interval by bootstrap over the sizes. An end is 0 or inf if bootstrap samples do
              not cross between the measured sizes, and NaN if a fit has no interval
    """

    one: Law
    other: Law
    at: float
    interval: Interval


def fit_crossings(laws: list[Law], kinds: Mapping[str, bool]) -> Iterator[FitCrossing]:
    """Yield the crossings of the law of each truly sparse backend with that of each simulated one,
    for laws whose sizes overlap. Laws that do not cross between the measured sizes are left out.

    kinds  label of a backend -> whether it is truly sparse
    """
    for one, other in itertools.product(laws, laws):
        alike = (one.words, one.topology, one.metric) == (other.words, other.topology, other.metric)
        if not alike or not kinds.get(one.backend) or kinds.get(other.backend) is not False:
            continue
        found = crossing(one.fit, other.fit)
        if found is not None:
            yield FitCrossing(one, other, *found)


def crossing(one: Fit, other: Fit) -> tuple[float, Interval] | None:
    """The size at which the two laws are equal, and its interval. None if they are equal nowhere,
    or more than once, between the smallest and the largest size that both have."""
    low = max(one.least[0], other.least[0])
    high = min(one.most[0], other.most[0])
    if not high > low:
        return None
    x = np.geomspace(low, high, POINTS)
    at = _equal(x, np.log(one.at(x) / other.at(x)))
    if not low <= at <= high:
        return None
    if not (len(one.draws) and len(other.draws)):
        return at, (math.nan, math.nan)
    pairs = zip(one.draws, other.draws)
    rising = bool(one.at(high) / other.at(high) > one.at(low) / other.at(low))
    places = [_equal(x, np.log(_at(a, x) / _at(b, x)), rising) for a, b in pairs]
    ends = np.sort([place for place in places if not math.isnan(place)])
    if not len(ends):
        return at, (math.nan, math.nan)
    cut = int(0.025 * len(ends))
    return at, (min(at, float(ends[cut])), max(at, float(ends[-1 - cut])))


def _at(law: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(law[0] + law[1] * x ** law[2])


def _equal(
    x: npt.NDArray[np.float64], log_ratio: npt.NDArray[np.float64], rising: bool | None = None
) -> float:
    """The size x at which the ratio of two laws is 1, interpolated linearly in log-log. NaN if
    there are several. If there is none: 0 if the crossing of a ratio that is `rising` (or falling)
    must lie at a smaller size, inf if at a larger one, NaN if `rising` is None."""
    above = log_ratio > 0
    turns = np.flatnonzero(above[1:] != above[:-1])
    if turns.size > 1:
        return math.nan
    if turns.size == 0:
        return math.nan if rising is None else 0.0 if above[0] == rising else math.inf
    i = int(turns[0])
    share = log_ratio[i] / (log_ratio[i] - log_ratio[i + 1])
    return float(math.exp((1 - share) * math.log(x[i]) + share * math.log(x[i + 1])))
