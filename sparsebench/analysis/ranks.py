"""Methods over the data sets of a run: average ranks, and the cost of reaching a target accuracy.

A method is everything about a trial but its data set and seed. A data set is one observation,
however many seeds its mean is of. Demšar (2006), Statistical Comparisons of Classifiers over
Multiple Data Sets, JMLR 7:1-30, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sparsebench.analysis.evidence import FAILED, Evidence, families, setting_labels
from sparsebench.analysis.number_format import join
from sparsebench.analysis.statistics import RESAMPLES, SEED, Spread
from sparsebench.core.metric import EPOCH_PARTS
from sparsebench.core.status import Status
from sparsebench.store.export_columns import epoch_value

LEAST_DATASETS = 3
LEAST_METHODS = 2

COSTS = {"time per epoch": "epoch_seconds", "net peak": "net_peak_bytes"}
"""Metrics that methods are ranked by beside the primary one, by their names in a table."""

SHORT_OF_BEST = 0.01
"""How far the target lies below the best mean accuracy on a data set: one point."""

TINY = 1e-9
"""What rounding may take from an accuracy that lies exactly at the target."""


@dataclass(frozen=True)
class Ranking:
    """Methods, best first, ranked on each of so many data sets.

    ranks     the average rank of each method: 1 is the best; ties share the mean of their ranks
    chi2      Friedman's statistic, corrected for ties
    p         of no difference between the methods, by permuting the ranks within each data set:
              the chi2 distribution is too coarse for a handful of data sets
    critical_difference   Nemenyi's: average ranks that lie this far apart differ, at a
                          family-wise error of alpha
    measure, left_out     what they are ranked by, and the data sets on which a method has no number
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
    """A performance profile. Dolan and Moré (2002), Mathematical Programming 91:201-213.

    ratios  the method's cost over the least of all methods, per data set, ascending;
            infinite where it did not reach the target
    """

    method: str
    ratios: tuple[float, ...]

    def share(self, ratio: float) -> float:
        """The share of data sets, 0 to 1, on which the cost is at most `ratio` times the least."""
        return sum(one <= ratio * (1 + 1e-12) for one in self.ratios) / len(self.ratios)

    @property
    def solved(self) -> float:
        """The share of data sets on which the method reached the target."""
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
    """Nemenyi's q sqrt(k (k + 1) / (6 N)), q from the studentized range over the root of 2."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(1 - alpha, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * datasets))


def profiles(costs: Mapping[str, Sequence[float]]) -> list[Profile]:
    """A profile per method from its costs, one per data set in the same order.

    Costs are positive; infinite where the method did not reach the target. A data set on which
    none did counts as not reached by all.
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


def rankings(evidence: Evidence) -> list[Ranking]:
    """Rankings by the primary metric, by time and by memory; none without 2 methods on 3 data
    sets."""
    evidence = evidence.of_primary
    frame, primary = by_method(evidence), evidence.primary
    found = []
    for name, column in {primary.heading.removeprefix("test "): primary.name, **COSTS}.items():
        if column not in frame:
            continue
        means = _table(frame[frame["ok"]], frame, column, lambda values: Spread.of(values).mean)
        whole = means.dropna()
        if whole.shape[0] < LEAST_DATASETS or whole.shape[1] < LEAST_METHODS:
            continue
        sign = 1.0 if evidence.metrics[column].better > 0 else -1.0
        ranking = rank({str(m): (sign * whole[m]).tolist() for m in whole.columns})
        left_out = tuple(str(one) for one in means.index if one not in whole.index)
        found.append(replace(ranking, measure=name, left_out=left_out))
    return found


def cost_profiles(evidence: Evidence) -> dict[str, list[Profile]]:
    """By cost, of time and of memory; none without 2 methods on 3 data sets whose epochs are known,
    or for a metric that is no share: how far below the best is near enough is not known then."""
    evidence, metric = evidence.of_primary, evidence.primary
    frame = by_method(evidence)
    enough = (
        frame["method"].nunique() >= LEAST_METHODS and frame["dataset"].nunique() >= LEAST_DATASETS
    )
    if metric.scale != "points" or not enough:
        return {}
    best = frame[frame["ok"]].groupby(["dataset", "method"])[metric.name].mean()
    targets = best.groupby("dataset").max() - SHORT_OF_BEST - TINY
    seconds = pd.Series([_seconds_to(evidence, int(str(i)), targets) for i in frame.index],
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


def by_method(evidence: Evidence) -> pd.DataFrame:
    """The rows of trials that ran, with the method of each in words: setting, topology and
    backend, as far as they tell methods apart; `ok` says which finished.

    Two methods with one name (their data sets differ in words) get a number.
    """
    frame = evidence.frame.assign(own=setting_labels(evidence, "dataset"))
    ids = [f"{one} {apart}" for one, apart in zip(families(evidence, "dataset"), frame["apart"])]
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
    """A row per data set and a column per method of `frame`, pooled over the seeds of `part`."""
    pooled: Any = part.groupby(["dataset", "method"])[column].agg(pool).unstack("method")
    datasets, methods = frame["dataset"].unique(), frame["method"].unique()
    return pd.DataFrame(pooled.reindex(index=datasets, columns=methods))


def _seconds_to(evidence: Evidence, row: int, targets: pd.Series[float]) -> float:
    """Seconds of batches, steps and topology updates until the first epoch at the target; infinite
    if it is never reached."""
    record = evidence.records[row]
    target = targets.get(evidence.frame.at[row, "dataset"], math.nan)
    spent = 0.0
    for line in evidence.runs[row].epochs(record):
        spent += sum(float(line.get(key) or 0.0) for key in EPOCH_PARTS)
        value = epoch_value(line, str(evidence.frame.at[row, "primary"]))
        if value is not None and value >= target:
            return spent
    return math.inf
