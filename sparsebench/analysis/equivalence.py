"""Is a published number reproduced? "Not significantly different" does not say so: two one-sided
tests (TOST) do. Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15:657-680."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sparsebench.analysis.statistics import (
    Difference,
    Summary,
    from_zero,
    summary,
    welch_from,
)


class Reproduction(StrEnum):
    REPRODUCED = "reproduced"  # within the margin, shown by two one-sided tests
    BETTER = "better"  # beyond the margin, on the good side
    WORSE = "worse"  # beyond the margin, on the bad side
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Equivalence:
    """difference  ours - theirs;  p  of equivalence, the larger of the two one-sided
    p_lower     that ours lies below theirs - margin;  p_higher  above theirs + margin
    """

    difference: Difference
    margin: float
    p: float
    p_lower: float
    p_higher: float


def tost(difference: Difference, margin: float) -> Equivalence:
    """margin  in the unit of the difference, 0 or more. With 0 nothing is equivalent."""
    below, above = difference.p_below(-margin), difference.p_above(margin)
    p = max(difference.p_above(-margin), difference.p_below(margin))
    if difference.error == 0 and abs(difference.effect) <= margin:
        p = 0.0
    return Equivalence(difference, margin, p, below, above)


def against_mean(values: Sequence[float], mean: float, margin: float) -> Equivalence:
    """One-sample TOST against a published mean, which is taken as exact. Needs two values."""
    return tost(from_zero([value - mean for value in values], alpha=0.1), margin)


def against_sample(values: Sequence[float], published: Summary, margin: float) -> Equivalence:
    """Welch TOST against a published mean, standard deviation and n of two or more."""
    return tost(welch_from(summary(values), published, alpha=0.1), margin)


def word(found: Equivalence, more_is_better: bool, alpha: float = 0.05) -> Reproduction:
    """Each error at most alpha: equivalent at the margin, or beyond it when it is not."""
    if found.p < alpha:
        return Reproduction.REPRODUCED
    good, bad = Reproduction.BETTER, Reproduction.WORSE
    if found.p_lower < alpha:
        return bad if more_is_better else good
    if found.p_higher < alpha:
        return good if more_is_better else bad
    return Reproduction.INCONCLUSIVE
