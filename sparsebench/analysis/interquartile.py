"""The interquartile mean: less shaken by one odd seed than the mean, less wasteful than the median.

Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from sparsebench.analysis.statistics import RESAMPLES, SEED

LEAST_SEEDS = 8
"""With fewer, half of the seeds is too few to speak of."""


@dataclass(frozen=True)
class Interquartile:
    """Mean of the values without the lowest and the highest quarter (rounded down), of n values.

    low, high  its BCa bootstrap interval, at 95 %; NaN where nearly all values are equal
    """

    mean: float
    low: float
    high: float
    n: int


def interquartile(values: Sequence[float]) -> Interquartile | None:
    """None for fewer than eight values. Equal values have no spread to resample."""
    n = len(values)
    if n < LEAST_SEEDS:
        return None
    import numpy as np
    from scipy import stats

    data = np.asarray(values, dtype=float)
    mean = float(stats.trim_mean(data, 0.25))
    if np.ptp(data) == 0:
        return Interquartile(mean, mean, mean, n)
    with warnings.catch_warnings():  # what it warns of is the NaN that we return
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (data,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), n_resamples=RESAMPLES,
            method="BCa", vectorized=True, rng=np.random.default_rng(SEED),
        ).confidence_interval  # fmt: skip
    return Interquartile(mean, float(found.low), float(found.high), n)
