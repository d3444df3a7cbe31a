"""Means, differences and their uncertainty over seeds, and Holm's correction for many tests.

Seeds are the replicates. Tests use the t distribution, which is valid for a handful of seeds, and
are two-sided where nothing else is said; the bootstrap and the permutation of signs serve as
checks. scipy is imported only when needed, so that a comparison of counts does not load it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

POWER = 0.8
"""The power at which a minimum detectable effect is found."""

RESAMPLES = 10_000
SEED = 20_251
"""Seed of the bootstrap and of permutations, so that the same records give the same numbers."""

LEAST_SEEDS = 8
"""An interquartile mean needs at least this many seeds, because it uses half of them."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) over `n` seeds; `sd` is NaN for fewer than two."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of the values that are not NaN; exact if all are equal."""
        known = [float(value) for value in values if not math.isnan(value)]
        n = len(known)
        if n == 0:
            return cls(math.nan, math.nan, 0)
        if n > 1 and all(value == known[0] for value in known):
            return cls(known[0], 0.0 if math.isfinite(known[0]) else math.nan, n)
        mean = math.fsum(known) / n
        if n == 1 or not all(map(math.isfinite, known)):
            return cls(mean, math.nan, n)
        return cls(mean, math.sqrt(math.fsum((x - mean) ** 2 for x in known) / (n - 1)), n)

    def interval(self, alpha: float = 0.05) -> Interval:
        """The t interval of the mean at level 1 - alpha; NaN for fewer than two values."""
        if self.n < 2:
            return math.nan, math.nan
        half = _quantile(alpha, self.n - 1) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Difference:
    """A mean difference between two sides, or from a constant.

    error    standard error of the effect
    freedom  degrees of freedom
    paired   whether values were compared pair by pair
    alpha    the interval is at level 1 - alpha
    least    the smallest p-value that is possible with this number of values
    """

    effect: float
    error: float
    freedom: float
    paired: bool
    alpha: float
    least: float = 0.0

    @property
    def is_zero(self) -> bool:
        return self.effect == 0 and self.error == 0

    @property
    def interval(self) -> Interval:
        half = _quantile(self.alpha, self.freedom) * self.error if self.error else 0.0
        return self.effect - half, self.effect + half

    @property
    def p(self) -> float:
        """The two-sided p-value; 1 if all differences are 0."""
        return 1.0 if self.is_zero else min(1.0, 2 * self._tail(abs(self.effect)))

    def p_below(self, bound: float) -> float:
        """p of the one-sided test whose alternative is that the true effect is below `bound`."""
        return self._tail(bound - self.effect)

    def p_above(self, bound: float) -> float:
        """p of the one-sided test whose alternative is that the true effect is above `bound`."""
        return self._tail(self.effect - bound)

    def detectable(self, alpha: float) -> float:
        """The smallest true effect that a two-sided test at `alpha` finds with power 0.8, given
        this standard error."""
        return self.error * detectable_in_errors(alpha, self.freedom)

    def _tail(self, distance: float) -> float:
        """P(T >= distance / error)."""
        if self.error == 0:
            return self.least if distance > 0 else 1.0
        from scipy import special

        return max(self.least, float(special.stdtr(self.freedom, -distance / self.error)))


def from_zero(differences: Sequence[float], alpha: float = 0.05) -> Difference:
    """The paired t-test of whether the mean difference is 0. Needs two pairs."""
    found = Spread.of(differences)
    return Difference(found.mean, found.sd / math.sqrt(found.n), found.n - 1, True, alpha)


def from_folds(differences: Sequence[float], folds: int, alpha: float = 0.05) -> Difference:
    """`from_zero` for pairs of trials on the same folds, which may be repeated for several seeds.

    Trainings on different folds share most of their samples, so their differences vary less than
    those on independent samples would. Nadeau and Bengio (2003), Machine Learning 52:239-281: the
    variance of the mean of n differences is sd^2 (1/n + test samples / training samples).
    """
    found = Spread.of(differences)
    error = found.sd * math.sqrt(1 / found.n + 1 / (folds - 1))
    return Difference(found.mean, error, found.n - 1, True, alpha)


def welch(ours: Spread, theirs: Spread, alpha: float = 0.05) -> Difference:
    """Welch's t-test of ours - theirs, for sides with different seeds. Each needs two values."""
    shares = [(one.sd**2 / one.n, one.n - 1) for one in (ours, theirs)]
    total = sum(share for share, _ in shares)
    below = sum(share**2 / degrees for share, degrees in shares if share)
    freedom = total**2 / below if below else float(ours.n + theirs.n - 2)
    return Difference(ours.mean - theirs.mean, math.sqrt(total), freedom, False, alpha)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order. Rejecting those below alpha keeps the
    family-wise error rate at alpha. Holm (1979), Scandinavian Journal of Statistics 6:65-70."""
    adjusted = [1.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def detectable_in_errors(alpha: float, freedom: float) -> float:
    """The smallest effect, in standard errors, that a two-sided t-test finds with power 0.8."""
    from scipy import optimize, stats

    critical = _quantile(alpha, freedom)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - POWER

    return float(optimize.brentq(lacking, 0.0, 2 * critical + 10.0, xtol=1e-6))


def _quantile(alpha: float, freedom: float) -> float:
    """The t value that |t| exceeds with probability alpha."""
    from scipy import special

    return float(-special.stdtrit(freedom, alpha / 2))


# --- resampling ----------------------------------------------------------------------


def bootstrap(values: Sequence[float], alpha: float = 0.05) -> Interval | None:
    """BCa bootstrap interval of the mean at level 1 - alpha; None if it cannot be computed. If all
    values are equal, both ends are that value."""
    if len(values) < 2:
        return None
    import numpy as np

    low, high = _bca(values, np.mean, alpha)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def interquartile(values: Sequence[float]) -> tuple[float, Interval] | None:
    """The mean without the lowest and the highest quarter of the values (rounded down), with its 95
    % BCa interval (NaN if nearly all values are equal). None for fewer than eight values.

    Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice.
    """
    if len(values) < LEAST_SEEDS:
        return None
    from scipy import stats

    def middle(x: Any, axis: int = 0) -> Any:
        return stats.trim_mean(x, 0.25, axis=axis)

    return float(middle(values)), _bca(values, middle, 0.05)


def _bca(values: Sequence[float], statistic: Callable[..., Any], alpha: float) -> Interval:
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


def sign_flips(differences: Sequence[float]) -> float:
    """The two-sided p-value of the permutation test that flips the signs of differences. It is
    exact for up to 12 pairs. The smallest possible value is 2 / 2^n: 0.25 with 3 pairs, 0.0625 with
    5."""
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


# --- is a published number reproduced? -----------------------------------------------


class Reproduction(StrEnum):
    REPRODUCED = "reproduced"  # within the margin, shown by two one-sided tests
    BETTER = "better"  # beyond the margin, on the good side
    WORSE = "worse"  # beyond the margin, on the bad side
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Equivalence:
    """A test of equivalence by two one-sided tests (TOST). It is needed because "not significantly
    different" does not show equivalence. Schuirmann (1987), J. Pharmacokinetics and
    Biopharmaceutics 15:657-680.

    difference  ours - theirs
    margin      in the unit of the difference, 0 or more; with 0 nothing is equivalent
    """

    difference: Difference
    margin: float

    @property
    def p(self) -> float:
        """p-value of equivalence: the larger one of the two one-sided tests."""
        found = self.difference
        if found.error == 0 and abs(found.effect) <= self.margin:
            return found.least
        return max(found.p_above(-self.margin), found.p_below(self.margin))

    def p_not_worse(self, more_is_better: bool) -> float:
        """p-value of non-inferiority: ours is not worse by more than the margin."""
        found = self.difference
        gain = found.effect if more_is_better else -found.effect
        if found.error == 0 and self.margin and gain >= -self.margin:
            return found.least
        return found.p_above(-self.margin) if more_is_better else found.p_below(self.margin)

    def p_worse(self, more_is_better: bool) -> float:
        """p-value of ours being worse by more than the margin."""
        found = self.difference
        return found.p_below(-self.margin) if more_is_better else found.p_above(self.margin)

    def reproduction(self, more_is_better: bool, alpha: float = 0.05) -> Reproduction:
        """Whether ours reproduces theirs: equivalent within the margin, or shown to be beyond it;
        each answer is wrong with probability at most alpha."""
        if self.p < alpha:
            return Reproduction.REPRODUCED
        if self.p_worse(more_is_better) < alpha:
            return Reproduction.WORSE
        if self.p_worse(not more_is_better) < alpha:
            return Reproduction.BETTER
        return Reproduction.INCONCLUSIVE


def against_published(values: Sequence[float], published: Spread, margin: float) -> Equivalence:
    """Test equivalence with a published mean, by Welch's test with its standard deviation and n. If
    no standard deviation is published, ours is used for its n runs. Needs two values."""
    ours = Spread.of(values)
    if math.isnan(published.sd):
        error = ours.sd * math.sqrt(1 / ours.n + 1 / max(1, published.n))
        found = Difference(ours.mean - published.mean, error, ours.n - 1, False, 0.1)
    else:
        found = welch(ours, published, alpha=0.1)
    return Equivalence(found, margin)
