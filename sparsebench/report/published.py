"""What a suite claims, beside what its trials measured, with the verdict and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sparsebench.analysis.claims import Holds, Judged, counts, judge
from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    escape,
    fixed,
    in_unit,
    plural,
    ratio,
    table,
)
from sparsebench.core.metric import Metric
from sparsebench.report.comparison.claim_tables import bounds

NOTE_PUBLISHED = (
    "Means ± standard deviations, n seeds each where it is known. Published times and memory were "
    "measured on other machines; what else differs is among the deviations from the source. A "
    "verdict rests on two one-sided t-tests against the published value and the claim's tolerance."
)
NOTE_COMPARED = (
    "Rows compare trials that are equal but for what the claim names. A claim holds where the "
    "first side is shown to be at least as good as the second, less the tolerance."
)
NOTE_FAILS = (
    "Claims that fail do so at a family-wise error of 5 % over all claims of the report (Holm)."
)


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, what became of the claims, a table and a note: for claims about values, and for
    those about two sides."""
    rows = judge(evidence)
    for title, make, note in (
        ("## Published and measured", _published, NOTE_PUBLISHED),
        ("## Claims", _compared, NOTE_COMPARED),
    ):
        mine, shown_as = make(rows)
        if mine:
            fails = any(row.verdict is Holds.FAILS for row in mine)
            yield from (title, verdicts_sentence(mine), shown_as)
            yield f"{note} {NOTE_FAILS}" if fails else note


def published_table(evidence: Evidence) -> str:
    """A row per claim about a published value and cell of trials; empty if there is none."""
    return _published(judge(evidence))[1]


def compared_table(evidence: Evidence) -> str:
    """A row per claim about two sides, and pair of cells that are equal but for what the claim
    names; empty if there is none."""
    return _compared(judge(evidence))[1]


def verdicts_sentence(rows: Sequence[Judged]) -> str:
    """`3 verdicts: 1 holds, 2 cannot tell.`"""
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts([*rows]))
    return f"{plural(len(rows), 'verdict')}: {told}."


def _published(rows: Sequence[Judged]) -> tuple[list[Judged], str]:
    mine = [row for row in rows if row.published]
    cells = [
        [escape(row.text), _verdict(row), _why(row), escape(row.source), row.trials,
         row.metric.name, _published_value(row), in_unit(row.metric, _spread(row)), row.ended,
         against(_spread(row), _other(row), row.metric)]
        for row in mine
    ]  # fmt: skip
    header = ["claim", "verdict", "why", "source", "trials", "measure", "published", "measured",
              "n", "measured against published"]  # fmt: skip
    return mine, table(header, cells, left=6) if cells else ""


def _compared(rows: Sequence[Judged]) -> tuple[list[Judged], str]:
    mine = [row for row in rows if not row.published]
    cells = [
        [escape(row.text), _verdict(row), _why(row), escape(row.source), row.metric.name,
         row.trials, row.against, in_unit(row.metric, _spread(row)), row.ended,
         in_unit(row.metric, _other(row)), row.other_ended,
         against(_spread(row), _other(row), row.metric)]
        for row in mine
    ]  # fmt: skip
    header = ["claim", "verdict", "why", "source", "measure", "trials", "against", "mean", "n",
              "mean against", "n against", "first against second"]  # fmt: skip
    return mine, table(header, cells, left=7) if cells else ""


def _verdict(row: Judged) -> str:
    return f"**{row.verdict}**" if row.verdict is Holds.FAILS else str(row.verdict)


def _why(row: Judged) -> str:
    """The numbers behind a verdict; in words where nothing was tested."""
    judged = row.verdict not in (Holds.SHOWN, Holds.NOT_RUN)
    return escape("; ".join(filter(None, [", ".join(bounds(row)) if judged else "", row.reason])))


def _published_value(row: Judged) -> str:
    claim = row.claim
    stated = Spread(row.other.mean, float(claim.get("std", math.nan)), row.other.n)
    n = f" (n = {claim['n']})" if "n" in claim else ""
    return f"{in_unit(row.metric, stated)}{n}"


def _spread(row: Judged) -> Spread:
    return Spread(row.ours.mean, row.ours.sd, row.ours.n)


def _other(row: Judged) -> Spread:
    return Spread(row.other.mean, row.other.sd, row.other.n)


def against(ours: Spread, other: Spread, metric: Metric) -> str:
    """The ratio; of accuracies the difference in points."""
    if math.isnan(ours.mean) or math.isnan(other.mean):
        return UNKNOWN
    if metric.scale == "points":
        points = (ours.mean - other.mean) * 100
        sign = "+" if points > 0 else "−" if points < 0 else ""
        return f"{sign}{fixed(abs(points), 2)} points"
    return f"{ratio(ours.mean / other.mean)} times" if other.mean else UNKNOWN
