"""A comparison as text of at most 100 columns, as GitHub markdown, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sparsebench.analysis.comparison import Comparison
from sparsebench.analysis.formats import (
    UNKNOWN,
    Spread,
    escape,
    in_unit,
    p_value,
    plural,
    signed,
    table,
)
from sparsebench.analysis.sides import Replicate
from sparsebench.analysis.statistics import bootstrap, sign_flips, summary
from sparsebench.analysis.verdicts import STATUS, UNDECIDED, Finding, Verdict, paired_differences
from sparsebench.errors import printable

SCHEMA = 1
"""Of the JSON; docs/schemas/compare.json describes it."""

WIDTH = 100
WIDTHS = (16, 10, 10, 15, 18, 6, 2)
RIGHT = (False, True, True, True, False, True, True)
QUIET = (Verdict.SAME, Verdict.OK)


# --- the numbers of a finding --------------------------------------------------------


def value(finding: Finding, values: Mapping[Replicate, float]) -> str:
    """The mean of a side, in the metric's unit; `–` where there is none."""
    mean = Spread.of(values.values()).mean
    if finding.gate is None or math.isnan(mean):
        return UNKNOWN
    return in_unit(finding.gate.metric, Spread(mean, math.nan, 1))


def change(finding: Finding, number: float | None, *, unit: bool = True) -> str:
    """`+10.2 %`, `-0.21 points`, `+12`; empty where there is no number."""
    if number is None or finding.gate is None:
        return ""
    return signed(finding.gate.metric, number, relative=finding.is_ratio, unit=unit)


def interval(finding: Finding) -> str:
    if finding.interval is None:
        return ""
    low, high = (change(finding, end, unit=False) for end in finding.interval)
    return f"[{low}, {high}]"


def numbers(finding: Finding) -> tuple[str, ...]:
    """Base, head, change, interval and p; empty texts for a status."""
    if finding.metric == STATUS:
        return ("",) * 5
    return (
        value(finding, finding.base),
        value(finding, finding.head),
        change(finding, finding.effect),
        interval(finding),
        p_value(finding.p_holm),
    )


def whys(finding: Finding) -> Iterator[str]:
    """Reasons for the verdict that the numbers alone do not show."""
    if finding.reason:
        yield finding.reason
    if finding.detectable is not None:
        least = change(finding, finding.detectable).removeprefix("+")
        yield (
            f"{finding.n} {finding.replicates} show a change of {least} or more (power 0.8); the "
            f"gate is {finding.gate}"
        )


def verdict_line(comparison: Comparison) -> str:
    """The meaning of the exit code, in words."""
    failed = len(comparison.failures)
    if failed:
        gates = sorted({one.metric for one in comparison.failures})
        return f"FAILED: {plural(failed, 'finding')} beyond a gate, marked '!': {', '.join(gates)}"
    warned = sum(one.verdict is Verdict.WORSE for one in comparison.findings)
    tail = f"; {warned} worse, as a warning" if warned else ""
    if comparison.exit_code:
        left = len(comparison.undecided)
        strictly = " and the comparison is strict" if comparison.gates.strict else ""
        return f"INCONCLUSIVE: {plural(left, 'finding')} could not be decided{strictly}{tail}"
    return f"PASSED: no gate failed{tail}"


# --- text ----------------------------------------------------------------------------


def as_text(comparison: Comparison) -> str:
    """A heading per cell and a line per metric; metrics that are exactly the same share a line."""
    percent = f"{100 * (1 - comparison.gates.alpha):g} %"
    header = ("", "base", "head", "change", f"{percent} interval", "p", "n", "verdict")
    lines = ["  " + _aligned(header)]
    for (_, label), group in groupby(comparison.findings, key=lambda one: (one.cell, one.label)):
        lines += [_cut(printable(label)), *_cell_lines(list(group))]
    lines += ["", ", ".join(f"{n} {verdict}" for verdict, n in comparison.counts().items())]
    lines += [f"note: {note}" for note in comparison.notes]
    return "\n".join(line.rstrip() for line in [*lines, verdict_line(comparison)])


def _cell_lines(findings: Sequence[Finding]) -> Iterator[str]:
    same = [one.metric for one in findings if one.verdict is Verdict.SAME and one.metric != STATUS]
    for one in findings:
        verdict = f"{one.verdict} !" if one.fails else str(one.verdict)
        if one.metric == STATUS:
            yield _cut(f"  {verdict}: {printable(one.reason)}")
        elif one.verdict is not Verdict.SAME:
            name = printable(one.metric)
            name = name.removesuffix("_bytes") if len(name) > WIDTHS[0] else name
            yield "  " + _aligned((name, *numbers(one), str(one.n), verdict))
            yield from (_cut(f"      {printable(why)}") for why in whys(one))
    if same:
        yield _cut(f"  same: {printable(', '.join(same))}")


def _aligned(cells: Sequence[str]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, WIDTHS, RIGHT)
    ]
    return " ".join([*padded, cells[-1]])


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


# --- markdown and JSON ---------------------------------------------------------------


def as_markdown(comparison: Comparison) -> str:
    """The verdict first, then a row per finding; what is the same or ok is folded away."""
    shown = [one for one in comparison.findings if one.verdict not in QUIET]
    quiet = [one for one in comparison.findings if one.verdict in QUIET]
    base, head = (escape(one.facts.get("run", "")) for one in (comparison.base, comparison.head))
    blocks = [
        f"### sparsebench compare: {verdict_line(comparison).rstrip()}",
        f"BASE {base}, HEAD {head}. Interval at {100 * (1 - comparison.gates.alpha):g} %, p after "
        "Holm within the metric.",
    ]
    if shown:
        blocks.append(_markdown_table(shown))
    if quiet:
        summary_line = f"<details><summary>{len(quiet)} same or ok</summary>"
        blocks += [summary_line, _markdown_table(quiet), "</details>"]
    blocks += [f"Note: {escape(note)}." for note in comparison.notes]
    return "\n\n".join(blocks) + "\n"


def _markdown_table(findings: Sequence[Finding]) -> str:
    header = ["cell", "metric", "verdict", "why", "base", "head", "change", "interval", "p", "n"]
    rows = [
        [
            escape(one.label),
            escape(one.metric),
            f"**{one.verdict}**" if one.fails else str(one.verdict),
            escape("; ".join(whys(one))),
            *numbers(one),
            str(one.n) if one.metric != STATUS else "",
        ]
        for one in findings
    ]
    return table(header, rows, left=4)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, numbers finite or null. Bootstrap and sign-flip p are worked out here only."""
    gates = comparison.gates
    return {
        "schema": SCHEMA,
        "base": dict(comparison.base.facts),
        "head": dict(comparison.head.facts),
        "alpha": gates.alpha,
        "min_seeds": gates.min_seeds,
        "strict": gates.strict,
        "gates": [gate.to_json() for gate in gates],
        "findings": [_finding(one, gates.alpha) for one in comparison.findings],
        "counts": comparison.counts(),
        "notes": comparison.notes,
        "exit_code": comparison.exit_code,
    }


def _finding(one: Finding, alpha: float) -> dict[str, Any]:
    found = one.difference
    pairs = paired_differences(one) if found is not None and found.paired else []
    return {
        "cell": one.cell,
        "label": one.label,
        "metric": one.metric,
        "verdict": str(one.verdict),
        "gate": one.gate.to_json() if one.gate is not None else None,
        "fails": one.fails,
        "decided": one.verdict not in UNDECIDED,
        "reason": one.reason,
        "base": _side(one.base, alpha),
        "head": _side(one.head, alpha),
        "n": one.n,
        "paired": found.paired if found is not None else None,
        "effect": one.effect,
        "effect_unit": "share" if one.is_ratio else "metric",
        "interval": list(one.interval) if one.interval is not None else None,
        "p": found.p if found is not None else None,
        "p_holm": one.p_holm,
        "p_sign_flip": sign_flips(pairs) if len(pairs) > 1 else None,
        "detectable": one.detectable,
    }


def _side(values: Mapping[Replicate, float], alpha: float) -> dict[str, Any] | None:
    if not values:
        return None
    found = summary([*values.values()], alpha)
    resampled = bootstrap([*values.values()], alpha)
    return {
        "mean": found.mean,
        "sd": found.sd if found.n > 1 else None,
        "n": found.n,
        "interval": [found.low, found.high] if found.n > 1 else None,
        "interval_bca": list(resampled) if resampled is not None else None,
        "seeds": [key[0] if isinstance(key, tuple) else key for key in values],
        "values": list(values.values()),
    }
