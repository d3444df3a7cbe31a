"""Judged claims as text, as GitHub markdown, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sparsebench.analysis.claims import Holds, Judged, counts, exit_code
from sparsebench.analysis.formats import UNKNOWN, Spread, escape, percent, table
from sparsebench.analysis.statistics import Summary
from sparsebench.errors import printable
from sparsebench.report.comparison import amounts

SCHEMA = 1
"""Of the JSON; docs/schemas/check.json describes it."""


def as_text(rows: Sequence[Judged]) -> str:
    """A line with the verdict per row, the numbers below it."""
    lines: list[str] = []
    for row in rows:
        lines += [f"{str(row.verdict).upper()}: {printable(row.text)}", *_numbers(row)]
    return "\n".join([*lines, "", ", ".join(f"{n} {word}" for word, n in counts([*rows]))])


def _numbers(row: Judged) -> Iterator[str]:
    sides = [printable(row.trials) or "no trial", printable(row.against) or "no trial"]
    yield f"  {row.metric.name}: {sides[0]} {_spread(row, row.ours)}"
    yield f"  against {sides[1]} {_spread(row, row.other)}{_source(row)}"
    if row.verdict not in (Holds.SHOWN, Holds.NOT_RUN):
        yield f"  {row.word!s}: {', '.join(tested(row))}"
    if row.reason:
        yield f"  {row.reason}"


def tested(row: Judged) -> list[str]:
    """The numbers behind a verdict: difference, interval, tolerance, p."""
    return list(filter(None, [_change(row), *bounds(row)]))


def bounds(row: Judged) -> list[str]:
    """`tested`, without the difference."""
    told = [_interval(row), f"tolerance {_amount(row, row.tolerance)}"]
    if row.p is not None:
        told.append(f"p {amounts.p_value(row.p)}")
    return list(filter(None, told))


def as_markdown(rows: Sequence[Judged]) -> str:
    header = ["verdict", "claim", "measure", "trials", "against", "measured", "published or other",
              "difference", "90 % interval", "tolerance", "why"]  # fmt: skip
    cells = [
        [str(row.verdict), escape(printable(row.text)), row.metric.name, printable(row.trials),
         printable(row.against),
         _spread(row, row.ours), _spread(row, row.other), _change(row),
         _interval(row).removeprefix("90 % interval "), _amount(row, row.tolerance),
         escape(row.reason or str(row.word))]
        for row in rows
    ]  # fmt: skip
    told = ", ".join(f"{n} {word}" for word, n in counts([*rows]))
    return f"### sparsebench check: {told}\n\n{table(header, cells, left=5)}\n"


def to_json(run: str, rows: Sequence[Judged]) -> dict[str, Any]:
    """Numbers finite or null."""
    return {
        "schema": SCHEMA,
        "run": run,
        "claims": [_one(row) for row in rows],
        "counts": dict(counts([*rows])),
        "exit_code": exit_code([*rows]),
    }


def _one(row: Judged) -> dict[str, Any]:
    interval = None if row.low is None or row.high is None else [row.low, row.high]
    return {
        "text": row.text,
        "source": row.source,
        "metric": row.metric.name,
        "trials": row.trials,
        "against": row.against,
        "tolerance": row.tolerance,
        "verdict": str(row.verdict),
        "reproduction": str(row.word),
        "reason": row.reason,
        "ours": _side(row.ours),
        "other": _side(row.other),
        "effect": row.effect,
        "interval": interval,
        "p": row.p,
        "p_fails": row.p_fails,
    }


def _side(one: Summary) -> dict[str, Any]:
    return {
        "mean": one.mean if math.isfinite(one.mean) else None,
        "sd": one.sd if math.isfinite(one.sd) else None,
        "n": one.n,
    }


def _spread(row: Judged, one: Summary) -> str:
    if one.n == 0:
        return UNKNOWN
    if row.metric.scale == "points" and not math.isnan(one.sd):
        return f"{percent(Spread(one.mean, one.sd, one.n))} (n = {one.n})"
    sd = "" if math.isnan(one.sd) else f" ± {amounts.amount(row.metric, one.sd)}"
    return f"{amounts.amount(row.metric, one.mean)}{sd} (n = {one.n})"


def _change(row: Judged) -> str:
    return "" if row.effect is None else _signed(row, row.effect)


def _interval(row: Judged) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"90 % interval [{_signed(row, row.low)}, {_signed(row, row.high)}]"


def _signed(row: Judged, number: float) -> str:
    sign = "+" if number > 0 else "-" if number < 0 else ""
    return f"{sign}{_amount(row, abs(number))}"


def _amount(row: Judged, number: float) -> str:
    if row.metric.scale == "points":
        return f"{number * 100:.2f} points"
    return amounts.amount(row.metric, number)


def _source(row: Judged) -> str:
    return f" ({printable(row.source)})" if row.source else ""
