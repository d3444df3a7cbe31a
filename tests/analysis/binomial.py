"""How far a simulated rate may be from the true one."""

from __future__ import annotations

from scipy import stats


def at_most(count: int, trials: int, rate: float) -> bool:
    """Whether so many are no more than chance allows at this true rate, 1 in 10,000 aside."""
    return bool(count <= stats.binom.ppf(0.9999, trials, rate))


def at_least(count: int, trials: int, rate: float) -> bool:
    return bool(count >= stats.binom.ppf(0.0001, trials, rate))
