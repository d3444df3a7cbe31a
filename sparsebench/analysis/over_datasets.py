"""Methods over the data sets of a run: what is ranked, and what counts as reaching a target.

A method is everything about a trial but its data set and seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.families import families, setting_labels
from sparsebench.analysis.formats import Spread
from sparsebench.analysis.groups import groups
from sparsebench.analysis.profiles import Profile, profiles
from sparsebench.analysis.ranks import LEAST_DATASETS, LEAST_METHODS, Ranking, rank
from sparsebench.store.frames import epoch_value

COSTS = {"time per epoch": "epoch_seconds", "net peak": "net_peak_bytes"}
"""What methods are ranked by beside the primary metric: in words, and the metric."""

SHORT_OF_BEST = 0.01
"""How far below the best mean accuracy on a data set the target lies: one point."""

TINY = 1e-9
"""What rounding may take from an accuracy that lies exactly at the target."""


@dataclass(frozen=True)
class Ranked:
    """A ranking by one measure, and the data sets left out: a method has no number there."""

    name: str
    ranking: Ranking
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Reached:
    """Performance profiles of one cost of reaching the target accuracy, over so many data sets."""

    name: str
    profiles: list[Profile]
    datasets: int


def rankings(evidence: Evidence) -> list[Ranked]:
    """By the primary metric, time and memory; none without 2 methods on 3 data sets."""
    evidence = evidence.of_primary
    frame, primary = by_method(evidence), evidence.primary
    found = []
    ranked = {primary.heading.removeprefix("test "): primary.name, **COSTS}
    for name, column in ranked.items():
        if column not in frame:
            continue
        means = _means(frame, column)
        whole = means.dropna()
        if min(whole.shape[0] - LEAST_DATASETS, whole.shape[1] - LEAST_METHODS) < 0:
            continue
        sign = 1.0 if evidence.metrics[column].better > 0 else -1.0
        ranking = rank({str(m): (sign * whole[m]).tolist() for m in whole.columns})
        left_out = tuple(str(one) for one in means.index if one not in whole.index)
        found.append(Ranked(name, ranking, left_out))
    return found


def cost_profiles(evidence: Evidence) -> list[Reached]:
    """Of time and of memory; none without 2 methods on 3 data sets whose epochs are known."""
    evidence, metric = evidence.of_primary, evidence.primary
    frame = by_method(evidence)
    if metric.scale != "points":
        return []  # how far below the best is near enough is not known
    methods, datasets = frame["method"].unique(), frame["dataset"].unique()
    if len(methods) < LEAST_METHODS or len(datasets) < LEAST_DATASETS:
        return []
    best = _means(frame, metric.name).max(axis="columns")
    targets = {str(name): top - SHORT_OF_BEST - TINY for name, top in best.items()}
    seconds = [_seconds_to(evidence, int(str(i)), targets) for i in frame.index]
    if not any(map(math.isfinite, seconds)):
        return []
    memory = [
        peak if math.isfinite(reached) else math.inf
        for peak, reached in zip(frame["net_peak_bytes"], seconds)
    ]
    frame = frame.assign(seconds_to=seconds, bytes_to=memory)
    return [
        Reached(name, profiles(costs), len(next(iter(costs.values()))))
        for name, column in (("training time", "seconds_to"), ("net peak memory", "bytes_to"))
        if (costs := _costs(frame, column))
    ]


def by_method(evidence: Evidence) -> pd.DataFrame:
    """The rows of trials that ran, with the method of each in words; `ok` says which finished."""
    labels = _method_labels(evidence)
    frame = evidence.frame.assign(method=labels)
    return frame[~frame["status"].isin(["skipped", "unsupported", "interrupted"])]


def _method_labels(evidence: Evidence) -> list[str]:
    """Setting, topology and backend, as far as they tell the methods apart.

    Two methods with one name (their data sets go by different words) get a number.
    """
    frame = evidence.frame
    settings = setting_labels(evidence, "dataset")
    ids = [f"{one} {apart}" for one, apart in zip(families(evidence, "dataset"), frame["apart"])]
    per_topology = frame.assign(own=settings).groupby(["own", "topology_label"])["backend_label"]
    several = bool(len(frame)) and per_topology.nunique().max() > 1
    words = [
        ", ".join(filter(None, [setting, topology, backend if several else ""]))
        for setting, topology, backend in zip(
            settings, frame["topology_label"], frame["backend_label"]
        )
    ]
    known: dict[str, list[str]] = {}
    for word, one in zip(words, ids):
        if one not in known.setdefault(word, []):
            known[word].append(one)
    return [
        f"{word} ({known[word].index(one) + 1})" if len(known[word]) > 1 else word
        for word, one in zip(words, ids)
    ]


def _means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per data set, a column per method: the mean over the seeds that finished."""
    cells = {
        (dataset, method): Spread.of(cell.loc[cell["ok"], column]).mean
        for (dataset, method), cell in groups(frame, ["dataset", "method"])
    }
    datasets, methods = (list(dict.fromkeys(frame[name])) for name in ("dataset", "method"))
    rows = [[cells.get((d, m), math.nan) for m in methods] for d in datasets]
    return pd.DataFrame(rows, index=datasets, columns=methods)


def _costs(frame: pd.DataFrame, column: str) -> dict[str, list[float]]:
    """By method: the median over the seeds per data set, infinite where half never got there,
    where none was run, or where what got there was not measured."""
    table = {
        (dataset, method): float(cell[column].fillna(math.inf).median())
        for (dataset, method), cell in groups(frame, ["dataset", "method"])
    }
    datasets, methods = (list(dict.fromkeys(frame[name])) for name in ("dataset", "method"))
    costs = {m: [table.get((d, m), math.inf) for d in datasets] for m in methods}
    finite = [cost for values in costs.values() for cost in values if math.isfinite(cost)]
    return costs if finite and min(finite) > 0 else {}


def _seconds_to(evidence: Evidence, row: int, targets: Mapping[str, float]) -> float:
    """Seconds of training and topology updates until the first epoch at the target; infinite if
    it is never reached."""
    record = evidence.records[row]
    target = targets.get(str(evidence.frame.at[row, "dataset"]), math.nan)
    spent = 0.0
    for line in evidence.runs[row].epochs(record):
        spent += sum(float(line.get(key) or 0.0) for key in ("train_seconds", "topology_seconds"))
        value = epoch_value(line, str(evidence.frame.at[row, "primary"]))
        if value is not None and value >= target:
            return spent
    return math.inf
