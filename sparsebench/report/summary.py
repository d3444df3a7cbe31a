"""What came out, in sentences: generated from the numbers, and no more than they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.claims import judge
from sparsebench.analysis.evidence import FAILED, Evidence
from sparsebench.analysis.formats import (
    Spread,
    escape,
    in_unit,
    one,
    plural,
    ratio,
    result_words,
    seconds,
    sentence_list,
    size,
)
from sparsebench.analysis.groups import groups
from sparsebench.analysis.marks import contradictions
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.report.crossover_table import crossings, crossover_sentence
from sparsebench.report.published import verdicts_sentence

MOST = 6
"""Topologies named in a sentence; the table has all."""


def summary(evidence: Evidence) -> str:
    """One paragraph: what ran, the claims, accuracy, time, memory, failures."""
    return " ".join(statements(evidence))


def statements(evidence: Evidence) -> list[str]:
    """The sentences of the summary, one or two for each thing that is told."""
    if evidence.frame.empty:
        return ["The run has no trials, so there is nothing to report."]
    parts = [_counts(evidence), *filter(None, [contradictions(evidence.frame)])]
    parts += [*_claims(evidence), *_results(evidence)]
    for run, frame in groups(evidence.trained.ok, ["run"]):
        within = f"In run {escape(run)}, " if evidence.frame["run"].nunique() > 1 else ""
        parts += [within + _lower(text, within) for text in _costs(frame)]
    return [
        *parts,
        *filter(None, [crossover_sentence(crossings(evidence.trained))]),
        *_failures(evidence),
    ]


def _counts(evidence: Evidence) -> str:
    frame = evidence.frame
    n = len(frame)
    seeds = frame["seed"].nunique()
    parts = [
        plural(frame["topology_label"].nunique(), "topology", "topologies"),
        plural(frame["backend_label"].nunique(), "backend"),
        plural(seeds, "seed"),
    ]
    data = sentence_list([escape(name) for name in dict.fromkeys(frame["dataset"])])
    well = int(frame["ok"].sum())
    ended = f"all {n} finished" if well == n and n > 1 else f"{well} of {n} finished"
    ended = "it finished" if well == n == 1 else ended
    text = f"{plural(n, 'trial')} on {data} ({', '.join(parts)}): {ended}."
    if well and evidence.ok.groupby(["cell", "machine", "contended"])["seed"].nunique().max() < 2:
        text += " Each cell has one seed, so no spread is known and small differences mean nothing."
    return text


def _claims(evidence: Evidence) -> list[str]:
    """What became of the suites' claims, if they make any."""
    rows = judge(evidence)
    return [f"The suite's claims have {verdicts_sentence(rows)}"] if rows else []


def _results(evidence: Evidence) -> list[str]:
    """Per data set: the topologies by their best mean of its primary metric over the cells."""
    several = evidence.frame["dataset"].nunique() > 1
    texts = []
    for (dataset, primary), frame in groups(evidence.ok, ["dataset", "primary"]):
        metric = evidence.metrics.declaration(primary)
        parts = groups(frame, ["topology_label"])
        best = [b for b in (_best_cell(t, f, metric) for t, f in parts) if b]
        best.sort(key=lambda pair: -metric.better * pair[1].mean)
        if not best:
            continue
        on = f"On {escape(dataset)}, the" if several else "The"
        (name, top), rest = best[0], best[1:MOST]
        if not rest:
            shown = in_unit(metric, top)
            texts.append(f"{on} mean {metric.heading} of {escape(name)} is {shown}.")
            continue
        others = sentence_list([f"{escape(n)} {in_unit(metric, s)}" for n, s in rest])
        more = f" ({len(best) - MOST} more in the table)" if len(best) > MOST else ""
        texts.append(
            f"{on} {result_words(metric)[1]} mean {metric.heading} is {in_unit(metric, top)}, "
            f"with {escape(name)}; then {others}{more}."
        )
    return texts


def _best_cell(topology: str, frame: pd.DataFrame, metric: Metric) -> tuple[str, Spread] | None:
    if metric.name not in frame:
        return None
    cells = groups(frame, ["setting", "backend_label"])
    known = [one for one in (Spread.of(cell[metric.name]) for _, cell in cells) if one.n]
    return (topology, max(known, key=lambda one: metric.better * one.mean)) if known else None


def _costs(frame: pd.DataFrame) -> list[str]:
    """Time and memory by backend, over trials that differ in nothing else."""
    texts = []
    time, memory = lowest(frame, "epoch_seconds"), lowest(frame, "net_peak_bytes")
    if time:
        others = [f"{_times(other)} as long on {escape(other.name)}" for other in time.others]
        texts.append(
            f"The fastest backend is {escape(time.name)} "
            f"({_span(frame, time.name, 'epoch_seconds', seconds)} per epoch); with the same "
            f"topology and seed an epoch takes {sentence_list(others)}."
        )
    if memory:
        others = [f"{escape(other.name)} needs {_times(other)} as much" for other in memory.others]
        texts.append(
            f"The lowest net peak memory is that of {escape(memory.name)} "
            f"({_span(frame, memory.name, 'net_peak_bytes', size)}); {sentence_list(others)}."
        )
    return texts


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
    found = []
    for other in wide.columns:
        ratios = (wide[other] / wide[name]).dropna().tolist()
        if other != name and ratios:
            mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
            found.append(Other(str(other), mean, min(ratios), max(ratios)))
    return sorted(found, key=lambda one: one.mean)


def _times(other: Other) -> str:
    """`2.3 times`, or `2.3 times (1.1 to 5.0)` where it depends on the trial."""
    wide = other.most > 1.25 * other.least
    span = f" ({ratio(other.least)} to {ratio(other.most)})" if wide else ""
    return f"{ratio(other.mean)} times{span}"


def _span(frame: pd.DataFrame, backend: str, name: str, show: Callable[[Spread], str]) -> str:
    """The least and the most of a backend's means over its cells."""
    part = frame[frame["backend_label"] == backend]
    means = [Spread.of(f[name]).mean for _, f in groups(part, ["setting", "topology_label"])]
    known = [mean for mean in means if not math.isnan(mean)]
    low, high = show(one(min(known))), show(one(max(known)))
    return low if low == high else f"{low} to {high}"


def _failures(evidence: Evidence) -> list[str]:
    frame = evidence.frame
    texts = []
    bad = frame[frame["status"].isin([*FAILED, str(Status.INTERRUPTED)])]
    if not bad.empty:
        kinds = [f"{n} {escape(kind)}" for kind, n in bad["status"].value_counts().items()]
        foreseen = int(bad["expected"].sum())
        tail = f", {foreseen} of them as the suite expects" if foreseen else ""
        texts.append(f"{plural(len(bad), 'trial')} failed ({', '.join(kinds)}){tail}.")
    for status, why in ((Status.SKIPPED, "its data are not there"),
                        (Status.UNSUPPORTED, "a component cannot do it")):  # fmt: skip
        n = int((frame["status"] == str(status)).sum())
        if n:
            many = why.replace("its", "their")
            texts.append(
                f"{plural(n, 'trial was', 'trials were')} not run because "
                f"{why if n == 1 else many}."
            )
    return texts


def _lower(text: str, within: str) -> str:
    return text[0].lower() + text[1:] if within else text
