"""Methods over several data sets: their average ranks, and which of them can be told apart.

Demšar (2006), Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7:1-30,
section 3.2. A data set is one observation, however many seeds its mean is of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.analysis.statistics import RESAMPLES, SEED

LEAST_DATASETS = 3
LEAST_METHODS = 2


@dataclass(frozen=True)
class Ranking:
    """Methods, best first, ranked on each of so many data sets.

    ranks     the average rank of each method: 1 is the best; ties share the mean of their ranks
    chi2, f   Friedman's statistic, corrected for ties, and Iman and Davenport's form of it
    p         of no difference between the methods: how often ranks that are shuffled within each
              data set give as large a chi2. F's own p is too small for a handful of data sets.
    critical_difference   Nemenyi's: average ranks that lie this far apart differ, at a
                          family-wise error of alpha
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    datasets: int
    alpha: float
    chi2: float
    f: float
    p: float
    critical_difference: float

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest groups of two or more methods that cannot be told apart, best first."""
        found: list[tuple[int, int]] = []
        for start, rank in enumerate(self.ranks):
            end = sum(other - rank < self.critical_difference for other in self.ranks)
            if end - start > 1 and (not found or end > found[-1][1]):
                found.append((start, end))
        return [self.methods[start:end] for start, end in found]

    def differ(self, one: str, other: str) -> bool:
        at = dict(zip(self.methods, self.ranks))
        return abs(at[one] - at[other]) >= self.critical_difference


def rank(scores: Mapping[str, Sequence[float]], alpha: float = 0.05) -> Ranking:
    """Rank methods by their scores, one per data set in the same order; more is better.

    Needs two methods and three data sets, and no NaN.
    """
    import numpy as np
    from scipy import stats

    values = np.array(list(scores.values()), dtype=float).T
    if values.ndim != 2 or values.shape[0] < LEAST_DATASETS or values.shape[1] < LEAST_METHODS:
        raise ValueError(f"ranks need 2 methods on 3 data sets or more, found {values.T.shape}")
    if np.isnan(values).any():
        raise ValueError("a score is NaN")
    ranks = stats.rankdata(-values, axis=1)
    n, k = ranks.shape
    chi2, p = _friedman(ranks)
    rest = n * (k - 1) - chi2
    means = ranks.mean(axis=0)
    order = np.argsort(means, kind="stable")
    names = list(scores)
    return Ranking(
        methods=tuple(names[i] for i in order),
        ranks=tuple(float(means[i]) for i in order),
        datasets=n,
        alpha=alpha,
        chi2=chi2,
        f=(n - 1) * chi2 / rest if rest > 1e-9 else math.inf,
        p=p,
        critical_difference=critical_difference(k, n, alpha),
    )


def critical_difference(methods: int, datasets: int, alpha: float = 0.05) -> float:
    """Nemenyi's q sqrt(k (k + 1) / (6 N)), q from the studentized range over the root of 2."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(1 - alpha, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * datasets))


def _friedman(ranks: Any) -> tuple[float, float]:
    """chi2, and the share of shuffles with one as large. No spread at all: 0 and 1."""
    import numpy as np

    n, k = ranks.shape
    middle = (k + 1) / 2
    spread = float(((ranks - middle) ** 2).sum()) / (n * (k - 1))
    if spread == 0:
        return 0.0, 1.0
    rng = np.random.default_rng(SEED)
    shuffled = rng.permuted(np.broadcast_to(ranks, (RESAMPLES, n, k)), axis=2).sum(axis=1)
    drawn = ((shuffled / n - middle) ** 2).sum(axis=1) * n / spread
    chi2 = float(((ranks.mean(axis=0) - middle) ** 2).sum()) * n / spread
    as_large = int((drawn >= chi2 * (1 - 1e-9)).sum())
    return chi2, (1 + as_large) / (1 + RESAMPLES)
