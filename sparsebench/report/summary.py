"""The results in a few sentences, each true for the whole report.

A sentence names the cells that it is about, or holds for every cell. A cell is all trials that
differ only in seed and fold. Different cells are never averaged, but given as a range. The suite's
`question` comes first. The suite's `lead`, its leading chart, decides whether sentences on results,
on costs or on both follow (see `ABOUT`). The sentences on claims, on dense baselines and on growth
are written in `claims`, `against_dense` and `scaling_laws`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from sparsebench.analysis.chance import beats_chance
from sparsebench.analysis.claims import judge
from sparsebench.analysis.crossover import crossings
from sparsebench.analysis.footnote_marks import CONTRADICTED_MARK
from sparsebench.analysis.number_format import (
    count,
    in_unit,
    join,
    one,
    plural,
    ratio,
    sentence_list,
    size,
    upper_first,
)
from sparsebench.analysis.report_data import BAD, CELL, ReportData, groups, suite_facts, trials_of
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.metrics import BUILT_IN
from sparsebench.report.against_dense import against_dense_sentence
from sparsebench.report.claims import claim_sentence, verdicts_sentence
from sparsebench.report.document import Bold, Text
from sparsebench.report.scaling_laws import crossover_sentence
from sparsebench.store.record import CONTRADICTED

MOST = 6
"""The most topologies named in a sentence; the table has all."""

FEW_CLAIMS = 2
"""If at most this many claims were tested, each gets a sentence."""

FEW_DATASETS = 3
"""If there are at most this many data sets, the range on each is a sentence of its own."""

GROWN = 4.0
"""If the largest network has at least this many times the neurons of the smallest, only the largest
is described."""

ABOUT = {"results": ("accuracy-memory", "density", "learning-curves", "parallel", "ranks"),
         "costs": ("accuracy-memory", "parallel", "scaling", "degrees")}  # fmt: skip
"""For each kind of sentence, the leading charts with which it is printed. With any other leading
chart, or none, all kinds are printed."""


def statements(report_data: ReportData) -> list[Text]:
    """The sentences of the summary: question, trials, claims, results, costs, failures."""
    return [text for text in _statements(report_data) if text]


def _statements(report_data: ReportData) -> Iterator[Text]:
    frame = report_data.frame
    facts = [suite_facts(run) for run in {run.id: run for run in report_data.runs}.values()]
    yield from dict.fromkeys(str(one["question"]) for one in facts if one.get("question"))
    if frame.empty:
        yield "The run has no trials, so there is nothing to report."
        return
    yield _counts(report_data)
    names = zip(frame["backend_label"], frame["topology_label"])
    blamed = pd.Series([CONTRADICTED_MARK in a + b for a, b in names], frame.index, dtype=bool)
    wrong = frame[(frame["audit"] == CONTRADICTED) & blamed]
    if len(wrong):
        every = dict.fromkeys([*wrong["backend_label"], *wrong["topology_label"]])
        liars = [Bold(name) for name in every if CONTRADICTED_MARK in name]
        between = [", "] * max(0, len(liars) - 2) + [" and "] * (len(liars) > 1) + [""]
        named = [part for pair in zip(liars, between) for part in pair]
        yield [
            "The audit contradicts the claim of ",
            *named,
            f" to be truly sparse in "
            f"{plural(len(wrong), 'trial')}: read these times and bytes as simulated sparsity.",
        ]
    if claims := judge(report_data):
        yield f"The suite's claims have {verdicts_sentence(claims)}"
        tested = [claim for claim in claims if claim.difference is not None]
        if len(tested) <= FEW_CLAIMS:
            texts = Counter(claim.text for claim in tested)
            for claim in tested:
                yield claim_sentence(claim, claim.trials if texts[claim.text] > 1 else "")
    leads = [one.get("lead") for one in facts]
    known = {name for names in ABOUT.values() for name in names}
    wanted = [
        kind for kind, names in ABOUT.items()
        if not leads or any(lead in names or lead not in known for lead in map(str, leads))
    ]  # fmt: skip
    trained = report_data.trained
    if "results" in wanted:
        yield from _results(trained)
    if "costs" in wanted:
        several = frame["run"].nunique() > 1
        for run, part in groups(trained.ok, ["run"]):
            for text in (
                _largest(part), _within_limit(report_data, part), *_costs(part),
                against_dense_sentence(part),
            ):  # fmt: skip
                yield f"In run {run}, {text[0].lower()}{text[1:]}" if several and text else text
        yield crossover_sentence(crossings(trained))
    bad = frame[frame["status"].isin(BAD)]
    if not bad.empty:
        kinds = join(*(f"{n} {kind}" for kind, n in bad["ended"].value_counts().items()))
        expected = int(bad["expected"].sum())
        tail = f", {expected} of them as the suite expects" if expected else ""
        yield f"{plural(len(bad), 'trial')} failed ({kinds}){tail}."
    for status, why in ((Status.SKIPPED, "missing data"),
                        (Status.UNSUPPORTED, "a component that cannot do it")):  # fmt: skip
        if n := int((frame["status"] == str(status)).sum()):
            yield f"{plural(n, 'trial was', 'trials were')} not run because of {why}."


def _topologies(report_data: ReportData) -> str:
    """`3 topologies`, or `1 topology in 3 variants` if they differ in parameters only."""
    names = len({trial.topology.get("name") for trial in trials_of(report_data)})
    labels = report_data.frame["topology_label"].nunique()
    text = plural(names, "topology", "topologies")
    return text if labels <= names else f"{text} in {labels} variants"


def _counts(report_data: ReportData) -> str:
    frame = report_data.frame
    n, well = len(frame), int(frame["ok"].sum())
    parts = join(
        _topologies(report_data),
        plural(frame["backend_label"].nunique(), "backend"),
        plural(frame["seed"].nunique(), "seed"),
        plural(int(frame["folds"].max()), "fold") if frame["folds"].any() else "",
    )
    data = sentence_list(list(dict.fromkeys(frame["dataset"])))
    text = f"{plural(n, 'trial')} on {data} ({parts}): {well} of {n} finished."
    seeds = report_data.ok.groupby(["cell", "machine", "contended"])["replicate"].nunique()
    if well and seeds.max() < 2:
        text += " Each cell has one seed, so no spread is known and small differences mean nothing."
    return text


def _results(report_data: ReportData) -> Iterator[str]:
    """Yield sentences on the results, for each data set and primary metric: the result of each
    topology if there is one setting, else the range of all cells; or that no network beats
    chance. The ranges on more than `FEW_DATASETS` data sets are one sentence."""
    several = report_data.frame["dataset"].nunique() > 1
    ranges: dict[str, list[str]] = {}
    for (dataset, primary), frame in groups(report_data.ok, ["dataset", "primary"]):
        metric = report_data.metrics.declaration(primary)
        known = frame[frame[primary].notna()] if primary in frame else frame.head(0)
        on = f" on {dataset}" if several else ""
        if known.empty:
            continue
        if beats_chance(known) is False:
            guesses = sorted({in_unit(metric, one(guess)) for guess in known["guess"].dropna()})
            always = guesses[0] if len(guesses) == 1 else f"{guesses[0]} to {guesses[-1]}"
            yield (
                f"No network{on} is shown to beat the most frequent class ({always}), so no "
                "accuracies are compared."
            )
        elif known["setting"].nunique() == 1:
            yield _by_topology(known, metric, on)
        elif report_data.frame["dataset"].nunique() > FEW_DATASETS:
            low, high, _ = _range(known, metric)
            ends = low if low == high else f"{low} to {high}"
            ranges.setdefault(metric.heading, []).append(f"{ends}{on}")
        else:
            low, high, cells = _range(known, metric)
            ends = f"lies between {low} and {high} in the means"
            lies = f"is {low} in each" if low == high else ends
            yield f"{upper_first(metric.heading)}{on} {lies} of {plural(cells, 'cell')}."
    for heading, parts in ranges.items():
        yield f"{upper_first(heading)} in the means of cells: {sentence_list(parts)}."


def _by_topology(known: pd.DataFrame, metric: Metric, on: str) -> str:
    """A sentence such as `Test accuracy on digits: 96.86 ± 0.37 % with set (numba-csr, n = 3),
    ...`. Since all backends train alike, each topology has one number, from the backend with the
    most seeds."""
    found = []
    for topology, part in groups(known, ["topology_label"]):
        cells = [(str(b), Spread.of(c[metric.name])) for b, c in groups(part, ["backend_label"])]
        found.append((str(topology), *max(cells, key=lambda cell: cell[1].n)))
    found.sort(key=lambda each: -metric.better * each[2].mean)
    best = [
        f"{in_unit(metric, mean)} with {topology} ({backend}, n = {mean.n})"
        for topology, backend, mean in found[:MOST]
    ]
    more = f"; the table has all {len(found)} topologies" if len(found) > MOST else ""
    return f"{upper_first(metric.heading)}{on}: {sentence_list(best)}{more}."


def _range(known: pd.DataFrame, metric: Metric) -> tuple[str, str, int]:
    """The smallest and the largest mean of a cell, and the number of cells."""
    means = [Spread.of(cell[metric.name]).mean for _, cell in groups(known, CELL)]
    low, high = (in_unit(metric, one(end)) for end in (min(means), max(means)))
    return low, high, len(means)


def _largest(frame: pd.DataFrame) -> str:
    """A sentence on time and memory of the largest network, with ranges if several cells have
    networks of that size; empty if it has less than `GROWN` times the neurons of the smallest."""
    sizes = frame["initial_connections"].dropna()
    neurons = frame["neurons"].dropna()
    if sizes.empty or neurons.empty or neurons.max() < GROWN * neurons.min():
        return ""
    largest = frame[frame["initial_connections"] == sizes.max()]
    costs = []
    largest = largest.assign(step_seconds=_step_seconds(largest))
    cells = [(labels, cell) for labels, cell in groups(largest, CELL)]
    for name, words in (("epoch_seconds", "an epoch takes"), ("step_seconds", "a step of it"),
                        ("net_peak_bytes", "the net peak is")):  # fmt: skip
        known = [mean for _, cell in cells if (mean := Spread.of(cell[name])).n]
        known.sort(key=lambda spread: spread.mean)
        metric = BUILT_IN["epoch_seconds" if name == "step_seconds" else name]
        ends = dict.fromkeys(in_unit(metric, end) for end in known[:1] + known[-1:])
        costs += [f"{words} {' to '.join(ends)}"] if ends else []
    counts = sorted({count(n) for n in largest["neurons"].dropna()})
    neurons_of = f"{counts[0]} neurons and " if len(counts) == 1 else ""
    where = join(*cells[0][0][1:]) if len(cells) == 1 else f"{len(cells)} cells"
    return (
        f"The largest network that finished has {neurons_of}{count(sizes.max())} connections "
        f"({where}): {sentence_list(costs)}."
    )


def _step_seconds(frame: pd.DataFrame) -> pd.Series:
    """The mean time of a step with the assembling of its batch; NaN where samples were not counted,
    or where several processes shared them."""
    steps = (frame["train_samples"] / frame["batch_size"]).map(math.ceil, na_action="ignore")
    spent = frame["train_seconds"] + frame["data_seconds"].fillna(0.0)
    return (spent / (steps * frame["epochs"])).where(frame["workers"] == 1)


def _within_limit(report_data: ReportData, part: pd.DataFrame) -> str:
    """A sentence that no trial of a run on networks of growing size was out of memory; empty if one
    was, or if the trials have no memory limit in common."""
    if not _largest(part):
        return ""
    frame = report_data.frame[report_data.frame["run"] == part["run"].iloc[0]]
    limit, *others = {trial.memory_limit for trial in trials_of(replace(report_data, frame=frame))}
    if limit is None or others or (frame["status"] == str(Status.OUT_OF_MEMORY)).any():
        return ""
    return f"No trial ended at the memory limit of {size(one(float(limit)))}."


def _costs(frame: pd.DataFrame) -> Iterator[str]:
    """Yield sentences that compare the time and net peak of backends over trials that differ in
    nothing else, of sparse networks if there are any."""
    sparse = frame[frame["initial_connections"] < frame["dense_connections"]]
    for name, needs, more in (
        ("epoch_seconds", "time per epoch", "as long"),
        ("net_peak_bytes", "net peak memory", "as much"),
    ):
        of = "of sparse networks"
        if (found := lowest(sparse, name)) is None:
            of = ""
            if (found := lowest(frame, name)) is None:
                continue
        compared = " ".join(filter(None, [plural(found.count, "comparison"), of]))
        where = f"Where only the backend differs ({compared}),"
        others = sentence_list([f"{other.name} {_times(other)} {more}" for other in found.others])
        ends = dict.fromkeys(in_unit(BUILT_IN[name], one(end)) for end in found.span)
        disturbed = int(frame["noise"].astype(bool).sum()) if name == "epoch_seconds" else 0
        if found.everywhere:
            first = f"{found.name} takes the least {needs} ({' to '.join(ends)})"
            yield f"{where} {first}, {others}."
        else:
            first = f"no backend always takes the least {needs}"
            yield f"{where} {first}: {others} as {found.name}."
        if disturbed:
            yield (
                f"{disturbed} of {plural(len(frame), 'trial')} ran while the machine was "
                "disturbed, so their times may be too long."
            )


@dataclass(frozen=True)
class Other:
    """A backend compared with the one of the lowest values: geometric mean, minimum and maximum of
    the ratios, its value over that of the lowest, of trials that differ only in the backend."""

    name: str
    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class Lowest:
    """The backend with the lowest values of a measure.

    count   number of combinations of setting, topology and seed that it shares with another backend
    span    minimum and maximum of its means over seeds, of the trials that are compared
    others  the other backends, the lowest first
    """

    name: str
    count: int
    span: tuple[float, float]
    others: list[Other]

    @property
    def everywhere(self) -> bool:
        """Whether no other backend is lower in any trial."""
        return all(other.least >= 1 for other in self.others)


def lowest(frame: pd.DataFrame, measure: str) -> Lowest | None:
    """The backend with the lowest geometric mean over trials that differ only in the backend, and
    how the others compare with it; None if there are no such trials."""
    keys = ["machine", "contended", "setting", "topology_label", "replicate"]
    known = frame[frame[measure] > 0]
    wide = known.pivot_table(index=keys, columns="backend_label", values=measure, sort=False)
    wide = wide[wide.notna().sum(axis="columns") > 1]
    if wide.empty:
        return None
    logs = wide.map(math.log)
    order = logs.sub(logs.mean(axis="columns"), axis="index").mean().sort_values().index
    compared = [
        Lowest(str(name), int(wide[name].notna().sum()), _span(wide[name]), _others(wide, name))
        for name in order
    ]
    # not each backend ran each trial: the first may yet lose to one in the trials they share
    found = next((one for one in compared if all(o.mean >= 1 for o in one.others)), compared[0])
    return found if found.others else None


def _others(wide: pd.DataFrame, name: str) -> list[Other]:
    """The ratio of each other column to the column `name`, over rows that have both."""
    ratios = wide.drop(columns=name).div(wide[name], axis="index").dropna(axis="columns", how="all")
    means = ratios.map(math.log, na_action="ignore").mean().map(math.exp)
    found = [
        Other(str(other), float(means[str(other)]), float(part.min()), float(part.max()))
        for other, part in ratios.items()
    ]
    return sorted(found, key=lambda one: one.mean)


def _times(other: Other) -> str:
    """The ratio in words: `2.3 times`, or `1.1 to 5.0 times` if trials differ."""
    least, most = ratio(other.least), ratio(other.most)
    return f"{least} times" if least == most else f"{least} to {most} times"


def _span(values: pd.Series) -> tuple[float, float]:
    """Minimum and maximum of the means over seeds; seeds are the last level of the index."""
    cells = values.dropna().groupby(level=list(range(values.index.nlevels - 1))).mean()
    return float(cells.min()), float(cells.max())
