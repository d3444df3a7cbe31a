"""Means and differences over seeds, with their uncertainty. Seeds are the replicates.

Tests are two-sided and use the t distribution, which holds for the handful of seeds that sparse
training can afford; the bootstrap and the permutation of signs are checks. scipy is imported
where it is needed, so that a comparison of counts does without.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

POWER = 0.8
"""Of a minimum detectable effect."""

RESAMPLES = 10_000
SEED = 20_251
"""Of the bootstrap and of permutations, so that the same records give the same numbers."""

LEAST_SEEDS = 8
"""For an interquartile mean: half of fewer seeds is too few."""


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n - 1) and t interval; NaN where there are too few seeds."""

    mean: float
    sd: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A mean difference between two sides, or from a constant.

    low, high  interval at level 1 - alpha;  p  two-sided, 1 where all differences are 0
    n          pairs, or the seeds of the smaller side
    error      standard error;  freedom  degrees of freedom
    """

    effect: float
    low: float
    high: float
    p: float
    n: int
    error: float
    freedom: float
    paired: bool

    @property
    def is_zero(self) -> bool:
        return self.effect == 0 and self.error == 0

    def p_below(self, bound: float) -> float:
        """p of the one-sided test whose alternative is that the true effect is below `bound`."""
        return _tail(bound - self.effect, self.error, self.freedom)

    def p_above(self, bound: float) -> float:
        """p of the one-sided test whose alternative is that the true effect is above `bound`."""
        return _tail(self.effect - bound, self.error, self.freedom)

    def detectable(self, alpha: float) -> float:
        """The least true effect that a two-sided test at `alpha` finds with power 0.8, if the
        standard error is what it was here."""
        return self.error * detectable_in_errors(alpha, self.freedom)


def summary(values: Sequence[float], alpha: float = 0.05) -> Summary:
    n = len(values)
    mean = mean_of(values) if n else math.nan
    if n < 2:
        return Summary(mean, math.nan, n, math.nan, math.nan)
    sd = math.sqrt(variance(values))
    half = _quantile(alpha, n - 1) * sd / math.sqrt(n)
    return Summary(mean, sd, n, mean - half, mean + half)


def bootstrap(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float] | None:
    """BCa interval of the mean at level 1 - alpha; None where it is not known.

    Equal values have no spread to resample: the interval is that value.
    """
    if len(values) < 2:
        return None
    import numpy as np

    low, high = _bca(values, np.mean, alpha)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def interquartile(values: Sequence[float]) -> Summary | None:
    """The mean without the lowest and the highest quarter (rounded down), with its BCa interval
    at 95 % (NaN where nearly all values are equal); None for fewer than eight values.

    Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice.
    """
    if len(values) < LEAST_SEEDS:
        return None
    from scipy import stats

    def middle(x: Any, axis: int = 0) -> Any:
        return stats.trim_mean(x, 0.25, axis=axis)

    mean = float(middle(values))
    low, high = _bca(values, middle, 0.05)
    return Summary(mean, math.sqrt(variance(values)), len(values), low, high)


def _bca(values: Sequence[float], statistic: Callable[..., Any], alpha: float) -> Any:
    import numpy as np
    from scipy import stats

    data = np.asarray(values, dtype=float)
    if np.ptp(data) == 0:
        return values[0], values[0]
    with warnings.catch_warnings():  # scipy warns of the NaN that is returned
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (data,), statistic, n_resamples=RESAMPLES, confidence_level=1 - alpha, method="BCa",
            vectorized=True, rng=np.random.default_rng(SEED),
        ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def from_zero(differences: Sequence[float], alpha: float = 0.05) -> Difference:
    """The paired t-test: are the differences of pairs, on average, 0? Needs two pairs."""
    n = len(differences)
    error = math.sqrt(variance(differences) / n)
    return _difference(mean_of(differences), error, n - 1, n, alpha, paired=True)


def welch(base: Sequence[float], head: Sequence[float], alpha: float = 0.05) -> Difference:
    """Welch's t-test of head - base, for sides without common seeds. Needs two of each."""
    return welch_from(summary(head), summary(base), alpha)


def welch_from(ours: Summary, theirs: Summary, alpha: float = 0.05) -> Difference:
    """Welch's t-test of ours - theirs from means, standard deviations and counts."""
    shares = [(one.sd**2 / one.n, one.n - 1) for one in (ours, theirs)]
    total = sum(share for share, _ in shares)
    below = sum(share**2 / degrees for share, degrees in shares if share)
    freedom = total**2 / below if below else float(ours.n + theirs.n - 2)
    n = min(ours.n, theirs.n)
    return _difference(ours.mean - theirs.mean, math.sqrt(total), freedom, n, alpha, paired=False)


def sign_flips(differences: Sequence[float]) -> float:
    """Two-sided p of flipping the signs of the differences; exact up to 12 pairs.

    The least it can be is 2 / 2^n: 0.25 with 3 pairs, 0.0625 with 5.
    """
    if not any(differences):
        return 1.0
    import numpy as np
    from scipy import stats

    found = stats.permutation_test(
        (np.asarray(differences, dtype=float),), np.mean, permutation_type="samples",
        vectorized=True, n_resamples=np.inf if len(differences) <= 12 else RESAMPLES,
        rng=np.random.default_rng(SEED),
    )  # fmt: skip
    return float(min(1.0, found.pvalue))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: one below alpha is found at a family-wise
    error of alpha. Holm (1979), Scandinavian Journal of Statistics 6:65-70."""
    adjusted = [1.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def detectable_in_errors(alpha: float, freedom: float) -> float:
    """The least effect, in standard errors, that a two-sided t-test finds with power 0.8."""
    from scipy import optimize, stats

    critical = _quantile(alpha, freedom)
    return float(
        optimize.brentq(
            lambda shift: float(stats.nct.sf(critical, freedom, shift)) - POWER,
            0.0, 2 * critical + 10.0, xtol=1e-6,
        )
    )  # fmt: skip


# --- is a published number reproduced? -----------------------------------------------


class Reproduction(StrEnum):
    REPRODUCED = "reproduced"  # within the margin, shown by two one-sided tests
    BETTER = "better"  # beyond the margin, on the good side
    WORSE = "worse"  # beyond the margin, on the bad side
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests (TOST): "not significantly different" does not show equivalence.
    Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15:657-680.

    difference  ours - theirs;  p  of equivalence, the larger of the two one-sided
    p_lower     that ours lies below theirs - margin;  p_higher  above theirs + margin
    """

    difference: Difference
    p: float
    p_lower: float
    p_higher: float

    def reproduction(self, more_is_better: bool, alpha: float = 0.05) -> Reproduction:
        """Each error at most alpha: equivalent at the margin, or beyond it when it is not."""
        if self.p < alpha:
            return Reproduction.REPRODUCED
        if self.p_lower < alpha:
            return Reproduction.WORSE if more_is_better else Reproduction.BETTER
        if self.p_higher < alpha:
            return Reproduction.BETTER if more_is_better else Reproduction.WORSE
        return Reproduction.INCONCLUSIVE


def tost(difference: Difference, margin: float) -> Equivalence:
    """margin  in the unit of the difference, 0 or more. With 0 nothing is equivalent."""
    below, above = difference.p_below(-margin), difference.p_above(margin)
    p = max(difference.p_above(-margin), difference.p_below(margin))
    if difference.error == 0 and abs(difference.effect) <= margin:
        p = 0.0
    return Equivalence(difference, p, below, above)


def against_published(values: Sequence[float], published: Summary, margin: float) -> Equivalence:
    """TOST against a published mean: Welch's test with its standard deviation and n, a one-sample
    test where no spread is published and the mean is taken as exact. Needs two values."""
    if math.isnan(published.sd):
        return tost(from_zero([value - published.mean for value in values], alpha=0.1), margin)
    return tost(welch_from(summary(values), published, alpha=0.1), margin)


# --- arithmetic ----------------------------------------------------------------------


def mean_of(values: Sequence[float]) -> float:
    """The mean, exactly the value where all are equal."""
    if all(value == values[0] for value in values):
        return values[0]
    return math.fsum(values) / len(values)


def variance(values: Sequence[float]) -> float:
    """With n - 1; exactly 0 where all are equal."""
    mean = mean_of(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _difference(
    effect: float, error: float, freedom: float, n: int, alpha: float, *, paired: bool
) -> Difference:
    if error == 0:
        p = 1.0 if effect == 0 else 0.0
        return Difference(effect, effect, effect, p, n, 0.0, freedom, paired)
    half = _quantile(alpha, freedom) * error
    p = min(1.0, 2 * _tail(abs(effect), error, freedom))
    return Difference(effect, effect - half, effect + half, p, n, error, freedom, paired)


def _quantile(alpha: float, freedom: float) -> float:
    """The t value that |t| exceeds with probability alpha."""
    from scipy import special

    return float(-special.stdtrit(freedom, alpha / 2))


def _tail(distance: float, error: float, freedom: float) -> float:
    """P(T >= distance / error)."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    from scipy import special

    return float(special.stdtr(freedom, -distance / error))
