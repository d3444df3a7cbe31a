"""Prints judged claims as text, as tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sparsebench.analysis.claims import (
    ERROR_RATE,
    Holds,
    Judged,
    compared,
    counts,
    exit_code,
    judge,
)
from sparsebench.analysis.number_format import UNKNOWN, in_unit, join, p_value, plural, signed
from sparsebench.analysis.report_data import ReportData
from sparsebench.analysis.statistics import Spread
from sparsebench.errors import escape_unprintable
from sparsebench.report.document import Bold, Cell, Section, Table, number, section
from sparsebench.report.markdown_blocks import printed
from sparsebench.suite.suite import VERDICT_SEEDS

SCHEMA = 1
"""The version of the JSON, which docs/schemas/check.json describes."""

NOTE_PUBLISHED = (
    "Means ± standard deviations, n seeds each where it is known. A claim holds where ours is "
    "shown to be at least as good as the published value, less the tolerance. Times and memory of "
    "other machines are shown with their ratio and not judged."
)
NOTE_COMPARED = (
    "Rows compare trials that are equal but for the keys that the claim names. A claim holds where "
    "the first side is shown to be at least as good as the second, less the tolerance."
)
NOTE_TESTED = (
    "Non-inferiority: at least as good, less the tolerance; superiority: better, where the claim "
    f"gives no tolerance. A verdict needs {VERDICT_SEEDS} seeds. p is that of a one-sided t-test "
    "that the claim holds; beside the verdict fails, that it fails. p and interval are adjusted "
    "alike, so that any verdict of the report is wrong with a probability of "
    f"{100 * ERROR_RATE:.0f} % at most (Holm)."
)
NO_TRIAL = "no trial"
NOT_JUDGED = (Holds.SHOWN, Holds.NOT_RUN, Holds.TOO_FEW)


# --- in a report ---------------------------------------------------------------------


def sections(report_data: ReportData) -> Iterator[Section]:
    """Yield the sections on claims about published values, and on claims that compare two sides;
    each has the verdicts, a table and a note."""
    for title, make, note, published in (
        ("Published and measured", published_table, NOTE_PUBLISHED, True),
        ("Claims", compared_table, NOTE_COMPARED, False),
    ):
        rows = [row for row in judge(report_data) if row.published is published]
        if rows:
            tested = any(row.difference is not None for row in rows)
            yield from section(
                title, verdicts_sentence(rows), make(rows), note, NOTE_TESTED if tested else None
            )


def published_table(rows: Sequence[Judged]) -> Table:
    """A table with a row for each claim about a published value and each cell."""
    cells = []
    for row in rows:
        stated = Spread(row.other.mean, float(row.claim.get("std", math.nan)), row.other.n)
        n = f" (n = {row.claim['n']})" if "n" in row.claim else ""
        cells.append(
            [*_words(row), row.trials, row.metric.name, number(row.metric, stated, tail=n),
             number(row.metric, row.ours), Cell(row.ended, row.ours.n), _against(row)]
        )  # fmt: skip
    header = ["claim", "verdict", "why", "source", "trials", "measure", "published", "measured",
              "n", "measured against published"]  # fmt: skip
    return Table(header, cells, left=6).in_paper(
        "published", "Published and measured, with the verdict on each claim.",
        ("claim", "verdict", "why", "source", "trials", "published", "measured"),
    )  # fmt: skip


def compared_table(rows: Sequence[Judged]) -> Table:
    """A table with a row for each claim about two sides and each pair of cells."""
    cells = [
        [*_words(row), row.metric.name, row.trials, row.against, number(row.metric, row.ours),
         Cell(row.ended, row.ours.n), number(row.metric, row.other),
         Cell(row.other_ended, row.other.n), _against(row)]
        for row in rows
    ]  # fmt: skip
    header = ["claim", "verdict", "why", "source", "measure", "trials", "against", "mean", "n",
              "mean against", "n against", "first against second"]  # fmt: skip
    return Table(header, cells, left=7).in_paper(
        "claims", "Claims about two sides, with the verdict on each.",
        ("claim", "verdict", "why", "trials", "against", "mean", "mean against"),
    )  # fmt: skip


def verdicts_sentence(rows: Sequence[Judged]) -> str:
    """The number of each verdict: `3 verdicts: 1 holds, 2 cannot tell.`"""
    return f"{plural(len(rows), 'verdict')}: {_counts(rows)}."


def claim_sentence(row: Judged, at: str = "") -> str:
    """A claim with its verdict: `SET reaches it: holds (+0.12 points, 90 % interval [...],
    tolerance 1.00 points).`

    at  the trials that it is about, if other verdicts are on the same claim
    """
    tolerance = signed(row.metric, row.tolerance).removeprefix("+")
    found = join(
        _effect(row), _interval(row), f"tolerance {tolerance}" if row.tolerance else "", row.reason
    )
    return f"{row.text}{f', {at}' if at else ''}: {row.verdict} ({found})."


def against(row: Judged) -> str:
    """The two means compared in words: `2.3 times as fast`, or the difference in points for
    accuracies. `UNKNOWN`, a dash, if the claim's trials were not run or a number is missing."""
    if row.effect is None or row.verdict is Holds.NOT_RUN:
        return UNKNOWN
    if row.metric.scale == "points":
        return signed(row.metric, row.effect)
    return compared(row) or UNKNOWN


def _against(row: Judged) -> Cell:
    key = row.effect
    if key is not None and row.metric.scale != "points":
        key = row.ours.mean / row.other.mean if row.other.mean else None
    return Cell(against(row), key)


def _words(row: Judged) -> list[Cell | str]:
    """The first cells of a row: the claim, its verdict, why (the test's numbers and the reason),
    and the claim's source."""
    judged = row.verdict not in NOT_JUDGED
    why = "; ".join(filter(None, [join(*_bounds(row)) if judged else "", row.reason]))
    verdict = str(row.verdict)
    marked = Cell([Bold(verdict) if row.verdict is Holds.FAILS else verdict])
    return [row.text, marked, why, row.source]


def _counts(rows: Sequence[Judged]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in counts([*rows]).items())


def _bounds(row: Judged) -> Iterator[str]:
    """Yield phrases on the test, its interval, its tolerance and p, as far as they are known."""
    tolerance = signed(row.metric, row.tolerance).removeprefix("+")
    yield str(row.test) + (f" at a tolerance of {tolerance}" if row.tolerance else "")
    if row.interval is not None:
        yield _interval(row)
    if row.p is not None:
        yield f"p {p_value(row.p)}"


def _interval(row: Judged) -> str:
    """The interval in words: `90 % interval [-0.12 points, +0.40 points]`; empty if there is
    none."""
    if row.interval is None:
        return ""
    ends = [signed(row.metric, end) for end in row.interval]
    return f"{100 * row.level:.3g} % interval [{', '.join(ends)}]"


# --- of `check` ----------------------------------------------------------------------


def as_text(rows: Sequence[Judged]) -> str:
    """For each row a line with the verdict and the claim, followed by lines with the numbers and
    the reason; at the end the number of each verdict."""
    lines: list[str] = []
    for row in rows:
        source = f" ({row.source})" if row.source else ""
        lines += [
            f"{str(row.verdict).upper()}: {row.text}",
            f"  {row.metric.name}: {row.trials or NO_TRIAL} {_mean(row, row.ours)}",
            f"  against {row.against or NO_TRIAL} {_mean(row, row.other)}{source}",
        ]
        if row.verdict not in NOT_JUDGED:
            said = f", {row.reproduction}" if row.published else ""
            lines.append(f"  {_effect(row)}{said}: {join(*_bounds(row))}")
        if row.reason:
            lines.append(f"  {row.reason}")
    shown = [escape_unprintable(line) for line in lines]
    return "\n".join([*shown, "", _counts(rows)])


def as_markdown(rows: Sequence[Judged]) -> str:
    header = ["verdict", "claim", "measure", "trials", "against", "measured", "published or other",
              "difference", "interval", "tolerance", "why"]  # fmt: skip
    cells = [
        [str(row.verdict), row.text, row.metric.name, row.trials, row.against,
         _mean(row, row.ours), _mean(row, row.other), _effect(row), _interval(row),
         signed(row.metric, row.tolerance).removeprefix("+"), row.reason or str(row.test)]
        for row in rows
    ]  # fmt: skip
    return f"### sparsebench check: {_counts(rows)}\n\n{printed(Table(header, cells, left=5))}\n"


def to_json(run: str, rows: Sequence[Judged]) -> dict[str, Any]:
    """The judged claims as JSON data; numbers are finite or null."""
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
                "asked": str(row.test),
                "verdict": str(row.verdict),
                "reproduction": str(row.reproduction),
                "reason": row.reason,
                "ours": _side(row.ours),
                "other": _side(row.other),
                "effect": row.effect,
                "interval": None if row.interval is None else list(row.interval),
                "level": row.level if math.isfinite(row.level) else None,
                "p": row.p,
                "p_fails": row.p_fails if math.isfinite(row.p_fails) else None,
            }
            for row in rows
        ],
        "counts": counts([*rows]),
        "exit_code": exit_code([*rows]),
    }


def _side(one: Spread) -> dict[str, Any]:
    mean, sd = (x if math.isfinite(x) else None for x in (one.mean, one.sd))
    return {"mean": mean, "sd": sd, "n": one.n}


def _mean(row: Judged, one: Spread) -> str:
    return f"{in_unit(row.metric, one)} (n = {one.n})" if one.n else UNKNOWN


def _effect(row: Judged) -> str:
    """The difference of the two means in words; for published times and memory, their ratio. Empty
    if the claim's trials were not run or a number is missing."""
    if row.effect is None or row.verdict is Holds.NOT_RUN:
        return ""
    return compared(row) if row.verdict is Holds.SHOWN else signed(row.metric, row.effect)
