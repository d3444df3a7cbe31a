"""Methods over the data sets of a run: average ranks, and the cost of reaching a target accuracy.

A method is everything about a trial except its data set and seed. Each data set is one observation,
whatever the number of seeds in its mean. Demšar (2006), Statistical Comparisons of Classifiers over
Multiple Data Sets, JMLR 7:1-30, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sparsebench.analysis.number_format import join
from sparsebench.analysis.report_data import FAILED, ReportData, families, setting_labels
from sparsebench.analysis.statistics import RESAMPLES, SEED, Spread
from sparsebench.core.metric import EPOCH_PARTS
from sparsebench.core.status import Status
from sparsebench.store.export_columns import epoch_value

LEAST_DATASETS = 3
LEAST_METHODS = 2

COSTS = {"time per epoch": "epoch_seconds", "net peak": "net_peak_bytes"}
"""Metrics by which methods are ranked besides the primary one; the keys are their names in a
table."""

SHORT_OF_BEST = 0.01
"""The target is this much below the best mean accuracy on a data set: one percentage point."""

TINY = 1e-9
"""Tolerance for rounding when an accuracy is exactly at the target."""


@dataclass(frozen=True)
class Ranking:
    """Methods ranked on each data set, the best first.

    ranks     the average rank of each method: 1 is the best; ties share the mean of their ranks
    chi2      Friedman's statistic, corrected for ties
    p         p-value of no difference between the methods, by permuting the ranks within each data
              set, because the chi2 distribution is too coarse for a handful of data sets
    critical_difference   Nemenyi's: average ranks that differ by at least this much are different,
                          at a family-wise error rate of alpha
    measure   the metric by which methods are ranked
    left_out  data sets on which some method has no value
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    datasets: int
    chi2: float
    p: float
    critical_difference: float
    measure: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest groups of two or more methods that cannot be distinguished, best first."""
        found: list[tuple[int, int]] = []
        for start, rank in enumerate(self.ranks):
            end = sum(other - rank < self.critical_difference for other in self.ranks)
            if end - start > 1 and (not found or end > found[-1][1]):
                found.append((start, end))
        return [self.methods[start:end] for start, end in found]

    def differ(self, one: str, other: str) -> bool:
        at = dict(zip(self.methods, self.ranks))
        return abs(at[one] - at[other]) >= self.critical_difference


@dataclass(frozen=True)
class Profile:
    """A method's performance profile. Dolan and Moré (2002), Mathematical Programming 91:201-213.

    ratios  for each data set, the method's cost divided by the lowest cost of all methods, sorted;
            infinite if it did not reach the target
    """

    method: str
    ratios: tuple[float, ...]

    def share(self, ratio: float) -> float:
        """The fraction of data sets on which the cost is at most `ratio` times the lowest."""
        return sum(one <= ratio * (1 + 1e-12) for one in self.ratios) / len(self.ratios)

    @property
    def solved(self) -> float:
        """The fraction of data sets on which the method reached the target."""
        return sum(map(math.isfinite, self.ratios)) / len(self.ratios)


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
    variance = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))

    def friedman(*columns: Any, axis: int = -1) -> Any:
        means = np.stack([np.mean(column, axis=axis) for column in columns])
        return ((means - (k + 1) / 2) ** 2).sum(axis=0) * n / variance

    chi2, p = 0.0, 1.0
    if variance:
        found = stats.permutation_test(
            tuple(ranks.T), friedman, permutation_type="samples", alternative="greater",
            vectorized=True, n_resamples=RESAMPLES, rng=np.random.default_rng(SEED),
        )  # fmt: skip
        chi2, p = float(found.statistic), float(found.pvalue)
    means = ranks.mean(axis=0)
    order = np.argsort(means, kind="stable")
    names = list(scores)
    return Ranking(
        methods=tuple(names[i] for i in order),
        ranks=tuple(float(means[i]) for i in order),
        datasets=n,
        chi2=chi2,
        p=p,
        critical_difference=critical_difference(k, n, alpha),
    )


def critical_difference(methods: int, datasets: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of average ranks for k methods on N data sets: q sqrt(k (k + 1)
    / (6 N)), where q is the quantile of the studentized range divided by the square root of 2."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(1 - alpha, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * datasets))


def profiles(costs: Mapping[str, Sequence[float]]) -> list[Profile]:
    """The profile of each method from its costs, one per data set in the same order.

    Costs are positive, and infinite if the method did not reach the target. If no method reached it
    on a data set, the data set counts as not solved by all.
    """
    if any(not cost > 0 for values in costs.values() for cost in values):
        raise ValueError("a cost is not positive")
    least = [min(column) for column in zip(*costs.values())]
    return [
        Profile(
            method,
            tuple(sorted(c / low if math.isfinite(c) else math.inf for c, low in zip(own, least))),
        )
        for method, own in costs.items()
    ]


# --- from the trials of a run --------------------------------------------------------


def rankings(report_data: ReportData) -> list[Ranking]:
    """Rankings by the primary metric, by time and by memory; empty with fewer than 2 methods or 3
    data sets."""
    report_data = report_data.of_primary
    frame, primary = by_method(report_data), report_data.primary
    found = []
    for name, column in {primary.heading.removeprefix("test "): primary.name, **COSTS}.items():
        if column not in frame:
            continue
        means = _table(frame[frame["ok"]], frame, column, lambda values: Spread.of(values).mean)
        whole = means.dropna()
        if whole.shape[0] < LEAST_DATASETS or whole.shape[1] < LEAST_METHODS:
            continue
        sign = 1.0 if report_data.metrics[column].better > 0 else -1.0
        ranking = rank({str(m): (sign * whole[m]).tolist() for m in whole.columns})
        left_out = tuple(str(one) for one in means.index if one not in whole.index)
        found.append(replace(ranking, measure=name, left_out=left_out))
    return found


def cost_profiles(report_data: ReportData) -> dict[str, list[Profile]]:
    """The profiles of all methods for each cost (time and memory). Empty with fewer than 2 methods
    or 3 data sets; if no trial is known to have reached its target; and if the metric is not a
    fraction, because then no target can be derived from the best value."""
    report_data, metric = report_data.of_primary, report_data.primary
    frame = by_method(report_data)
    enough = (
        frame["method"].nunique() >= LEAST_METHODS and frame["dataset"].nunique() >= LEAST_DATASETS
    )
    if metric.scale != "points" or not enough:
        return {}
    best = frame[frame["ok"]].groupby(["dataset", "method"])[metric.name].mean()
    targets = best.groupby("dataset").max() - SHORT_OF_BEST - TINY
    seconds = pd.Series([_seconds_to(report_data, int(str(i)), targets) for i in frame.index],
                        index=frame.index)  # fmt: skip
    memory = frame["net_peak_bytes"].where(seconds < math.inf)
    found = {}
    for name, costs in (("training time", seconds), ("net peak memory", memory)):
        part = frame.assign(cost=costs.fillna(math.inf))
        medians = _table(part, frame, "cost", pd.Series.median).fillna(math.inf)
        reached = medians.to_numpy()[medians.to_numpy() < math.inf]
        if reached.size and reached.min() > 0:
            of = {str(method): medians[method].tolist() for method in medians.columns}
            found[name] = profiles(of)
    return found if (seconds < math.inf).any() else {}


def by_method(report_data: ReportData) -> pd.DataFrame:
    """The rows of trials that ran, with a column for the method in words: those of setting,
    topology and backend that distinguish methods. `ok` is True for those that finished.

    If two methods would have the same name, because the words of their data sets differ, a number
    is added.
    """
    frame = report_data.frame.assign(own=setting_labels(report_data, "dataset"))
    ids = [f"{one} {apart}" for one, apart in zip(families(report_data, "dataset"), frame["apart"])]
    backends = frame.groupby(["own", "topology_label"])["backend_label"].nunique()
    several = len(frame) > 0 and backends.max() > 1
    words = [
        join(own, topology, backend if several else "")
        for own, topology, backend in zip(
            frame["own"], frame["topology_label"], frame["backend_label"]
        )
    ]
    known: dict[str, list[str]] = {}
    for word, one in dict.fromkeys(zip(words, ids)):
        known.setdefault(word, []).append(one)
    methods = [
        f"{word} ({known[word].index(one) + 1})" if len(known[word]) > 1 else word
        for word, one in zip(words, ids)
    ]
    ran = frame["status"].isin([str(Status.OK), *FAILED])
    return frame.assign(method=methods)[ran]


def _table(part: pd.DataFrame, frame: pd.DataFrame, column: str, pool: Any) -> pd.DataFrame:
    """A row per data set and a column per method of `frame`. A value is `column` of the trials in
    `part`, pooled over the seeds by `pool`; NaN without any."""
    pooled: Any = part.groupby(["dataset", "method"])[column].agg(pool).unstack("method")
    datasets, methods = frame["dataset"].unique(), frame["method"].unique()
    return pd.DataFrame(pooled.reindex(index=datasets, columns=methods))


def _seconds_to(report_data: ReportData, row: int, targets: pd.Series[float]) -> float:
    """Seconds of batches, steps and topology updates of a trial until the end of the first epoch
    that reaches the target; infinite if none does.

    row      position of the trial in the report data
    targets  the target by data set
    """
    record = report_data.records[row]
    target = targets.get(report_data.frame.at[row, "dataset"], math.nan)
    spent = 0.0
    for line in report_data.runs[row].epochs(record):
        spent += sum(float(line.get(key) or 0.0) for key in EPOCH_PARTS)
        value = epoch_value(line, str(report_data.frame.at[row, "primary"]))
        if value is not None and value >= target:
            return spent
    return math.inf
