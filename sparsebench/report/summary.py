"""The results in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.claims import judge
from sparsebench.analysis.crossover import crossings
from sparsebench.analysis.evidence import BAD, Evidence, groups
from sparsebench.analysis.formats import (
    in_unit,
    join,
    one,
    plural,
    ratio,
    result_words,
    sentence_list,
)
from sparsebench.analysis.statistics import Spread
from sparsebench.core.status import Status
from sparsebench.metrics import BUILT_IN
from sparsebench.report.claims import verdicts_sentence
from sparsebench.report.document import Bold, Text
from sparsebench.report.growth import crossover_sentence
from sparsebench.store.record import CONTRADICTED

MOST = 6
"""Topologies named in a sentence; the table has all."""


def statements(evidence: Evidence) -> list[Text]:
    """The sentences of the summary: trials, claims, results, time, memory, failures."""
    return [text for text in _statements(evidence) if text]


def _statements(evidence: Evidence) -> Iterator[Text]:
    frame = evidence.frame
    if frame.empty:
        yield "The run has no trials, so there is nothing to report."
        return
    yield _counts(evidence)
    wrong = frame[frame["audit"] == CONTRADICTED]
    if len(wrong):
        liars = [Bold(name) for name in dict.fromkeys(wrong["backend_label"])]
        between = [", "] * max(0, len(liars) - 2) + [" and "] * (len(liars) > 1) + [""]
        named = [part for pair in zip(liars, between) for part in pair]
        yield [
            "The audit contradicts the claim of ",
            *named,
            f" to be truly sparse in "
            f"{plural(len(wrong), 'trial')}: read these times and bytes as simulated sparsity.",
        ]
    if claims := judge(evidence):
        yield f"The suite's claims have {verdicts_sentence(claims)}"
    yield from _results(evidence)
    several = frame["run"].nunique() > 1
    for run, part in groups(evidence.trained.ok, ["run"]):
        for text in _costs(part):
            yield f"In run {run}, {text[0].lower()}{text[1:]}" if several else text
    yield crossover_sentence(crossings(evidence.trained))
    bad = frame[frame["status"].isin(BAD)]
    if not bad.empty:
        kinds = join(*(f"{n} {kind}" for kind, n in bad["status"].value_counts().items()))
        expected = int(bad["expected"].sum())
        tail = f", {expected} of them as the suite expects" if expected else ""
        yield f"{plural(len(bad), 'trial')} failed ({kinds}){tail}."
    for status, why in ((Status.SKIPPED, "missing data"),
                        (Status.UNSUPPORTED, "a component that cannot do it")):  # fmt: skip
        if n := int((frame["status"] == str(status)).sum()):
            yield f"{plural(n, 'trial was', 'trials were')} not run because of {why}."


def _counts(evidence: Evidence) -> str:
    frame = evidence.frame
    n, well = len(frame), int(frame["ok"].sum())
    parts = join(
        plural(frame["topology_label"].nunique(), "topology", "topologies"),
        plural(frame["backend_label"].nunique(), "backend"),
        plural(frame["seed"].nunique(), "seed"),
    )
    data = sentence_list(list(dict.fromkeys(frame["dataset"])))
    text = f"{plural(n, 'trial')} on {data} ({parts}): {well} of {n} finished."
    if well and evidence.ok.groupby(["cell", "machine", "contended"])["seed"].nunique().max() < 2:
        text += " Each cell has one seed, so no spread is known and small differences mean nothing."
    return text


def _results(evidence: Evidence) -> Iterator[str]:
    """Per data set: the topologies by their best mean of its primary metric over the cells."""
    several = evidence.frame["dataset"].nunique() > 1
    for (dataset, primary), frame in groups(evidence.ok, ["dataset", "primary"]):
        metric = evidence.metrics.declaration(primary)
        best = []
        for topology, part in groups(frame, ["topology_label"]) if primary in frame else ():
            cells = [Spread.of(c[primary]) for _, c in groups(part, ["setting", "backend_label"])]
            cells.sort(key=lambda one: -metric.better * one.mean if one.n else math.inf)
            if cells[0].n:
                best.append((topology, cells[0]))
        best.sort(key=lambda pair: -metric.better * pair[1].mean)
        if best:
            on = f"On {dataset}, the" if several else "The"
            (name, top), rest = best[0], best[1:MOST]
            text = f"{on} {result_words(metric)[1]} mean {metric.heading} is {in_unit(metric, top)}"
            others = sentence_list([f"{other} {in_unit(metric, mean)}" for other, mean in rest])
            yield f"{text}, with {name}" + (f"; then {others}." if rest else ".")


def _costs(frame: pd.DataFrame) -> Iterator[str]:
    """Time and memory by backend, over trials that differ in nothing else."""
    if time := lowest(frame, "epoch_seconds"):
        others = [f"{_times(other)} as long on {other.name}" for other in time.others]
        yield (
            f"The fastest backend is {time.name} ({_span(frame, time.name, 'epoch_seconds')} per "
            f"epoch); with the same topology and seed an epoch takes {sentence_list(others)}."
        )
    if memory := lowest(frame, "net_peak_bytes"):
        others = [f"{other.name} needs {_times(other)} as much" for other in memory.others]
        yield (
            f"The lowest net peak memory is that of {memory.name} "
            f"({_span(frame, memory.name, 'net_peak_bytes')}); {sentence_list(others)}."
        )


@dataclass(frozen=True)
class Other:
    """A backend against the lowest: geometric mean, least and most of the ratios of pairs."""

    name: str
    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class Lowest:
    name: str
    others: list[Other]


def lowest(frame: pd.DataFrame, measure: str) -> Lowest | None:
    """The backend whose values are lowest, in the geometric mean over trials that are equal but
    for the backend, and how the others compare with it; None where there are no such trials.
    """
    keys = ["machine", "contended", "setting", "topology_label", "seed"]
    known = frame[frame[measure] > 0]
    wide = known.pivot_table(index=keys, columns="backend_label", values=measure, sort=False)
    wide = wide[wide.notna().sum(axis="columns") > 1]
    if wide.empty:
        return None
    logs = wide.map(math.log)
    order = logs.sub(logs.mean(axis="columns"), axis="index").mean().sort_values().index
    compared = [Lowest(str(name), _others(wide, name)) for name in order]
    # not each backend ran each trial: the first may yet lose to one in the trials they share
    found = next((one for one in compared if all(o.mean >= 1 for o in one.others)), compared[0])
    return found if found.others else None


def _others(wide: pd.DataFrame, name: str) -> list[Other]:
    """How many times as much as `name` each other column has, over the rows of both."""
    ratios = wide.drop(columns=name).div(wide[name], axis="index").dropna(axis="columns", how="all")
    means = ratios.map(math.log, na_action="ignore").mean().map(math.exp)
    found = [
        Other(str(other), float(means[str(other)]), float(part.min()), float(part.max()))
        for other, part in ratios.items()
    ]
    return sorted(found, key=lambda one: one.mean)


def _times(other: Other) -> str:
    """`2.3 times`, or `2.3 times (1.1 to 5.0)` where it depends on the trial."""
    wide = other.most > 1.25 * other.least
    span = f" ({ratio(other.least)} to {ratio(other.most)})" if wide else ""
    return f"{ratio(other.mean)} times{span}"


def _span(frame: pd.DataFrame, backend: str, name: str) -> str:
    """The least and the most of a backend's means over its cells."""
    part = frame[frame["backend_label"] == backend]
    means = [Spread.of(f[name]).mean for _, f in groups(part, ["setting", "topology_label"])]
    known = [mean for mean in means if not math.isnan(mean)]
    low, high = (in_unit(BUILT_IN[name], one(x)) for x in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"
