"""Judged claims as text, as markdown tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sparsebench.analysis.claims import Holds, Judged, counts, exit_code, judge
from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    escape,
    in_unit,
    join,
    p_value,
    plural,
    ratio,
    signed,
    table,
)
from sparsebench.analysis.statistics import Summary
from sparsebench.errors import printable

SCHEMA = 1
"""Of the JSON; docs/schemas/check.json describes it."""

NOTE_PUBLISHED = (
    "Means ± standard deviations, n seeds each where it is known. Published times and memory were "
    "measured on other machines. A verdict rests on two one-sided t-tests against the published "
    "value and the claim's tolerance."
)
NOTE_COMPARED = (
    "Rows compare trials that are equal but for the keys that the claim names. A claim holds where "
    "the first side is shown to be at least as good as the second, less the tolerance."
)
NO_TRIAL = "no trial"
NOTE_FAILS = (
    "Claims that fail do so at a family-wise error of 5 % over all claims of the report (Holm)."
)


# --- in a report ---------------------------------------------------------------------


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, the verdicts, a table and a note: for claims about published values, and for
    those about two sides."""
    for title, make, note, published in (
        ("## Published and measured", published_table, NOTE_PUBLISHED, True),
        ("## Claims", compared_table, NOTE_COMPARED, False),
    ):
        rows = [row for row in judge(evidence) if row.published is published]
        if rows:
            fails = any(row.verdict is Holds.FAILS for row in rows)
            yield from (title, verdicts_sentence(rows), make(evidence))
            yield f"{note} {NOTE_FAILS}" if fails else note


def published_table(evidence: Evidence) -> str:
    """A row per claim about a published value and cell of trials; empty if there is none."""
    cells = []
    for row in judge(evidence):
        if row.published:
            stated = Spread(row.other.mean, float(row.claim.get("std", math.nan)), row.other.n)
            n = f" (n = {row.claim['n']})" if "n" in row.claim else ""
            cells.append(
                [escape(row.text), _verdict(row), _why(row), escape(row.source), row.trials,
                 escape(row.metric.name), f"{in_unit(row.metric, stated)}{n}",
                 in_unit(row.metric, _spread(row.ours)), row.ended, against(row)]
            )  # fmt: skip
    header = ["claim", "verdict", "why", "source", "trials", "measure", "published", "measured",
              "n", "measured against published"]  # fmt: skip
    return table(header, cells, left=6) if cells else ""


def compared_table(evidence: Evidence) -> str:
    """A row per claim about two sides and pair of cells; empty if there is none."""
    cells = [
        [escape(row.text), _verdict(row), _why(row), escape(row.source), escape(row.metric.name),
         row.trials, row.against, in_unit(row.metric, _spread(row.ours)), row.ended,
         in_unit(row.metric, _spread(row.other)), row.other_ended, against(row)]
        for row in judge(evidence)
        if not row.published
    ]  # fmt: skip
    header = ["claim", "verdict", "why", "source", "measure", "trials", "against", "mean", "n",
              "mean against", "n against", "first against second"]  # fmt: skip
    return table(header, cells, left=7) if cells else ""


def verdicts_sentence(rows: Sequence[Judged]) -> str:
    """`3 verdicts: 1 holds, 2 cannot tell.`"""
    return f"{plural(len(rows), 'verdict')}: {_counts(rows)}."


def against(row: Judged) -> str:
    """The ratio of both means; of accuracies the difference in points."""
    if row.effect is None:
        return UNKNOWN
    if row.metric.scale == "points":
        return signed(row.metric, row.effect)
    return f"{ratio(row.ours.mean / row.other.mean)} times" if row.other.mean else UNKNOWN


def _counts(rows: Sequence[Judged]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts([*rows]).items())


def _verdict(row: Judged) -> str:
    return f"**{row.verdict}**" if row.verdict is Holds.FAILS else str(row.verdict)


def _why(row: Judged) -> str:
    """The numbers behind a verdict; the reason where nothing was tested."""
    judged = row.verdict not in (Holds.SHOWN, Holds.NOT_RUN)
    numbers = join(*_bounds(row)) if judged else ""
    return escape("; ".join(filter(None, [numbers, row.reason])))


def _spread(one: Summary) -> Spread:
    return Spread(one.mean, one.sd, one.n)


def _bounds(row: Judged) -> Iterator[str]:
    """Interval, tolerance and p, as far as they are known."""
    if row.low is not None and row.high is not None:
        yield f"90 % interval {_interval(row)}"
    yield f"tolerance {signed(row.metric, row.tolerance).removeprefix('+')}"
    if row.p is not None:
        yield f"p {p_value(row.p)}"


def _interval(row: Judged) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"[{signed(row.metric, row.low)}, {signed(row.metric, row.high)}]"


# --- of `check` ----------------------------------------------------------------------


def as_text(rows: Sequence[Judged]) -> str:
    """A line with the verdict per row, the numbers below it."""
    lines: list[str] = []
    for row in rows:
        ours, other = _mean(row, row.ours), _mean(row, row.other)
        source = f" ({row.source})" if row.source else ""
        lines += [
            f"{str(row.verdict).upper()}: {printable(row.text)}",
            f"  {printable(f'{row.metric.name}: {row.trials or NO_TRIAL} {ours}')}",
            f"  {printable(f'against {row.against or NO_TRIAL} {other}{source}')}",
        ]
        if row.verdict not in (Holds.SHOWN, Holds.NOT_RUN):
            lines.append(f"  {row.reproduction}: {join(_effect(row), *_bounds(row))}")
        if row.reason:
            lines.append(f"  {row.reason}")
    return "\n".join([*lines, "", _counts(rows)])


def as_markdown(rows: Sequence[Judged]) -> str:
    header = ["verdict", "claim", "measure", "trials", "against", "measured", "published or other",
              "difference", "90 % interval", "tolerance", "why"]  # fmt: skip
    cells = [
        [str(row.verdict), escape(row.text), escape(row.metric.name), row.trials, row.against,
         _mean(row, row.ours), _mean(row, row.other), _effect(row), _interval(row),
         signed(row.metric, row.tolerance).removeprefix("+"),
         escape(row.reason or str(row.reproduction))]
        for row in rows
    ]  # fmt: skip
    return f"### sparsebench check: {_counts(rows)}\n\n{table(header, cells, left=5)}\n"


def to_json(run: str, rows: Sequence[Judged]) -> dict[str, Any]:
    """Numbers finite or null."""
    return {
        "schema": SCHEMA,
        "run": run,
        "claims": [
            {
                "text": row.text,
                "source": row.source,
                "metric": row.metric.name,
                "trials": row.trials,
                "against": row.against,
                "tolerance": row.tolerance,
                "verdict": str(row.verdict),
                "reproduction": str(row.reproduction),
                "reason": row.reason,
                "ours": _side(row.ours),
                "other": _side(row.other),
                "effect": row.effect,
                "interval": None if row.low is None else [row.low, row.high],
                "p": row.p,
                "p_fails": row.p_fails,
            }
            for row in rows
        ],
        "counts": counts([*rows]),
        "exit_code": exit_code([*rows]),
    }


def _side(one: Summary) -> dict[str, Any]:
    mean, sd = (x if math.isfinite(x) else None for x in (one.mean, one.sd))
    return {"mean": mean, "sd": sd, "n": one.n}


def _mean(row: Judged, one: Summary) -> str:
    return f"{in_unit(row.metric, _spread(one))} (n = {one.n})" if one.n else UNKNOWN


def _effect(row: Judged) -> str:
    return "" if row.effect is None else signed(row.metric, row.effect)
