"""The answer of a report, from the claims that compare two sides: which network is recommended,
what it costs, and on which inputs it relies."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from sparsebench.analysis.claims import Holds, Judged
from sparsebench.analysis.input_strength import input_strengths
from sparsebench.analysis.number_format import (
    count,
    fixed,
    in_unit,
    join,
    one,
    plural,
    sentence_list,
    share,
    signed,
)
from sparsebench.analysis.recommendation import compared, networks, recommended
from sparsebench.analysis.report_data import NO_NETWORK, ReportData, groups, suite_facts
from sparsebench.analysis.statistics import Spread
from sparsebench.metrics import BUILT_IN
from sparsebench.report.document import Bullets, Cell, Section, Table, section

SHOWN = 10
"""The most inputs that a sentence names."""

LISTED = 30
"""The most inputs in the table."""

WORDS = {
    Holds.HOLDS: "shown",
    Holds.FAILS: "shown to be worse",
    Holds.CANNOT_TELL: "cannot tell",
    Holds.TOO_FEW: "too few folds or seeds to tell",
    Holds.NOT_RUN: "not run",
}

NOTE_INPUTS = (
    "Of the networks that are recommended: the sum of the magnitudes of an input's weights, as a "
    "share of all inputs' (QuickSelection), the mean over the networks. A strong input is one that "
    "the network uses, which is no proof of a cause; of inputs that say the same it may use any."
)


def sections(found: ReportData) -> Iterator[Section]:
    """Yield the sections on the answer and on the inputs that matter, if the suite of the first run
    asks for them (`answer = true` below `[report]`)."""
    if not any((suite_facts(run).get("report") or {}).get("answer") for run in found.runs[:1]):
        return
    yield from section("Answer", Bullets(list(answer(found))))
    strengths = input_strengths(found, recommended(found))
    if strengths is not None:
        rows = [
            [number, name, Cell(share(one(float(part))), float(part))]
            for number, (name, part) in enumerate(zip(strengths.names, strengths.shares), 1)
        ]
        shown = Table(["rank", "input", "share of the strength"], rows[:LISTED], left=2)
        yield from section("Inputs that matter", shown, NOTE_INPUTS)


def answer(found: ReportData) -> Iterator[str]:
    """Yield sentences on the verdict, each claim, costs, other methods, inputs, and missing
    trials."""
    rows, metric = compared(found), found.primary
    if not rows:
        return
    yield _verdict(rows)
    yield from map(_claim, rows)
    chosen = recommended(found)
    other = next((row.against for row in rows), "")
    if len(chosen):
        shown = any(row.verdict is Holds.HOLDS for row in rows)
        first = "Recommended" if shown else "The best of the sparse networks"
        yield from _costs(first, chosen, networks(found).get(other))
    references = found.ok[found.ok["topology_label"] == NO_NETWORK]
    without_network = [
        f"{name} {in_unit(metric, Spread.of(cell[metric.name]))} ({_cost(cell)})"
        for name, cell in groups(references, ["trainer"])
    ]
    if without_network:
        yield f"Without a network: {sentence_list(without_network)}."
    if (strengths := input_strengths(found, chosen)) is not None and len(strengths):
        names = ", ".join(strengths.names[:SHOWN])
        yield (
            f"Of {plural(len(strengths), 'input')} it relies most on {names} "
            f"({plural(strengths.networks, 'network')})."
        )
    for run in {run.id: run for run in found.runs}.values():
        left = len(run.manifest.get("trials", ())) - len(run.records)
        if left > 0:
            yield f"{plural(left, 'trial')} did not begin, the least important: the time was up."


def _verdict(rows: list[Judged]) -> str:
    verdicts = {row.verdict for row in rows}
    if Holds.HOLDS in verdicts:
        return f"Yes, within a margin of {_margin(rows[0])}."
    if verdicts == {Holds.FAILS}:
        return f"No, not within a margin of {_margin(rows[0])}."
    if verdicts == {Holds.NOT_RUN}:
        return "Cannot tell: no network was trained that could be compared with the dense one."
    undecided = [row for row in rows if row.verdict is Holds.CANNOT_TELL]
    ran = [row for row in rows if row.verdict is not Holds.NOT_RUN]
    why = next((row.reason for row in undecided or ran if row.reason), "")
    if verdicts == {Holds.FAILS, Holds.NOT_RUN}:
        why = "what was compared is worse, and the rest was not run"
    return f"Cannot tell within a margin of {_margin(rows[0])}" + (
        f": {why}." if why else ": the differences vary too much over the folds."
    )


def _margin(row: Judged) -> str:
    if row.metric.scale == "points":
        return f"{100 * row.tolerance:g} points"
    return signed(row.metric, row.tolerance).removeprefix("+")


def _claim(row: Judged) -> str:
    """A claim in words, with its verdict and numbers: `SET ... is as good: shown. 96.1 % against
    96.4 %, -0.3 points (95 % interval ...)`."""
    text = f"{row.text}: {WORDS.get(row.verdict, str(row.verdict))}."
    if row.effect is None:
        return text
    ours, theirs = (in_unit(row.metric, one(side.mean)) for side in (row.ours, row.other))
    text += f" {ours} against {theirs}, {signed(row.metric, row.effect)}"
    if row.interval is not None:
        low, high = (signed(row.metric, end, unit=False) or "0" for end in row.interval)
        text += f" ({fixed(100 * row.level, 0)} % interval {low} to {high}"
        text += f", {plural(min(row.ours.n, row.other.n), 'pair')})"
    return f"{text}."


def _costs(first: str, chosen: pd.DataFrame, dense: pd.DataFrame | None) -> Iterator[str]:
    name = join(chosen["topology_label"].iloc[0], chosen["backend_label"].iloc[0])
    density = share(one(float((chosen["connections"] / chosen["dense_connections"]).mean())))
    text = f"{first}: {name}, {density} of the connections ({_cost(chosen)})"
    if dense is not None:
        own, all_of = (count(float(cell["connections"].mean())) for cell in (chosen, dense))
        text += f"; dense: {_cost(dense)}. {own} connections instead of {all_of}"
    yield f"{text}."


def _cost(cell: pd.DataFrame) -> str:
    """The mean cost of these trials in words: `3.2 s of training, net peak 12.3 MiB`."""
    parts = cell[[f"{part}_seconds" for part in ("data", "train", "topology")]]
    spent = in_unit(BUILT_IN["train_seconds"], one(float(parts.sum(axis="columns").mean())))
    peak = in_unit(BUILT_IN["net_peak_bytes"], one(float(cell["net_peak_bytes"].mean())))
    return f"{spent} of training, net peak {peak}"
