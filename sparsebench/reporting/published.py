"""What a suite claims, beside what its trials measured: numbers; `comparing.claims` has the
verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from sparsebench.errors import SuiteError
from sparsebench.records.frames import WHOLE
from sparsebench.reporting.evidence import CELL, Evidence, suite_facts
from sparsebench.reporting.families import families, trials_of
from sparsebench.reporting.tables import groups, outcome
from sparsebench.reporting.text import (
    UNKNOWN,
    Spread,
    count,
    escape,
    fixed,
    percent,
    rate,
    ratio,
    seconds,
    size,
    spread,
    table,
)
from sparsebench.suite.trial import canonical
from sparsebench.suite.where import matches

Claim = Mapping[str, Any]
"""A table of [[claims]], as the suite stored with a run has it."""


NOTE_PUBLISHED = (
    "Means ± standard deviations, n seeds each where it is known. Published times and memory were "
    "measured on other machines; what else differs is among the deviations from the source."
)
NOTE_COMPARED = (
    "Rows compare trials that are equal but for what the claim names; for verdicts there is "
    "`sparsebench check`."
)


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, a table and a note for claims about values, and for those about two sides."""
    published, compared = published_table(evidence), compared_table(evidence)
    if published:
        yield from ("## Published and measured", published, NOTE_PUBLISHED)
    if compared:
        yield from ("## Claims", compared, NOTE_COMPARED)


def published_table(evidence: Evidence) -> str:
    """A row per claim about a published value and cell of trials; empty if there is none."""
    rows = []
    for claim, frame in claims(evidence):
        if "value" not in claim:
            continue
        value = Spread(
            float(claim["value"]), float(claim.get("std", math.nan)), int(claim.get("n", 1))
        )
        metric = str(claim["metric"])
        n = f" (n = {claim['n']})" if "n" in claim else ""
        published = f"{shown(value, metric)}{n}"
        for label, cell in cells_of(rows_at(evidence, frame, claim["where"])):
            ours, ended = _ours(cell, metric)
            rows.append(
                [escape(claim["text"]), escape(claim.get("source", "")), label, metric, published,
                 shown(ours, metric), ended, against(ours, value, metric)]
            )  # fmt: skip
    header = ["claim", "source", "trials", "measure", "published", "measured", "n",
              "measured against published"]  # fmt: skip
    return table(header, rows, left=4) if rows else ""


def compared_table(evidence: Evidence) -> str:
    """A row per claim about two sides, and pair of cells that are equal but for what the claim
    names; empty if there is none."""
    rows = []
    for claim, frame in claims(evidence):
        if "against" not in claim:
            continue
        metric = str(claim["metric"])
        for one, other in pairs_of(evidence, frame, claim):
            (label, cell), (label_against, cell_against) = one, other
            (ours, ended), (theirs, ended_against) = (
                _ours(cell, metric),
                _ours(cell_against, metric),
            )
            rows.append(
                [escape(claim["text"]), escape(claim.get("source", "")), metric, label,
                 label_against, shown(ours, metric), ended, shown(theirs, metric), ended_against,
                 against(ours, theirs, metric)]
            )  # fmt: skip
    header = ["claim", "source", "measure", "trials", "against", "mean", "n", "mean against",
              "n against", "first against second"]  # fmt: skip
    return table(header, rows, left=5) if rows else ""


def claims(evidence: Evidence) -> Iterator[tuple[Claim, pd.DataFrame]]:
    """Each claim once, with the rows of the runs whose suite makes it."""
    found: dict[str, tuple[Claim, list[str]]] = {}
    for run in {run.id: run for run in evidence.runs}.values():
        for claim in suite_facts(run).get("claims", ()):
            found.setdefault(canonical(claim), (claim, []))[1].append(run.id)
    for claim, runs in found.values():
        yield claim, evidence.frame[evidence.frame["run"].isin(runs)]


def shown(value: Spread, metric: str) -> str:
    """A mean, and its standard deviation if known, in the unit of the measure."""
    if metric.endswith("accuracy"):
        return percent(value)
    formats: dict[str, Callable[[Spread], str]] = {
        "_per_second": rate, "_seconds": seconds, "_bytes": size,
    }  # fmt: skip
    for ending, show in formats.items():
        if metric.endswith(ending):
            return show(value)
    if metric in WHOLE and not value.sd > 0:
        return count(value.mean)
    return spread(value, plain=4)


def against(ours: Spread, other: Spread, metric: str) -> str:
    """The ratio; of accuracies the difference in points."""
    if math.isnan(ours.mean) or math.isnan(other.mean):
        return UNKNOWN
    if metric.endswith("accuracy"):
        points = (ours.mean - other.mean) * 100
        sign = "+" if points > 0 else "−" if points < 0 else ""
        return f"{sign}{fixed(abs(points), 2)} points"
    return f"{ratio(ours.mean / other.mean)} times" if other.mean else UNKNOWN


Side = tuple[str, pd.DataFrame]
"""A cell in words, and its rows."""


def cells_of(frame: pd.DataFrame) -> Iterator[Side]:
    """By setting, topology and backend; one without rows if there are none."""
    if frame.empty:
        yield "", frame
    for labels, cell in groups(frame, CELL) if not frame.empty else ():
        yield ", ".join(escape(label) for label in labels if label), cell


def pairs_of(evidence: Evidence, frame: pd.DataFrame, claim: Claim) -> Iterator[tuple[Side, Side]]:
    """Every cell of the one side with those of the other that are equal but for the keys that
    the claim names; with no rows where there is none."""
    named = [*claim["where"], *claim["against"]]
    alike = pd.Series(families(evidence, *named), index=evidence.frame.index)
    other_side = rows_at(evidence, frame, claim["against"])
    for label, cell in cells_of(rows_at(evidence, frame, claim["where"])):
        mine = alike[cell.index].unique()
        same = alike[other_side.index].isin(mine) & other_side["apart"].isin(cell["apart"].unique())
        for other in cells_of(other_side[same] if len(cell) else other_side):
            yield (label, cell), other


def rows_at(evidence: Evidence, frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose trials lie there."""
    trials = dict(zip(evidence.frame.index, trials_of(evidence)))
    try:
        return frame[[matches(where, trials[i]) for i in frame.index]]
    except SuiteError:
        return frame[:0]


def _ours(cell: pd.DataFrame, metric: str) -> tuple[Spread, str]:
    """What the trials of a cell measured, and how many of them ended how."""
    if cell.empty:
        return Spread.of([]), "no trial"
    values = Spread.of(cell.loc[cell["ok"], metric])
    return values, ", ".join(filter(None, [str(values.n) if values.n else "", outcome(cell)]))
