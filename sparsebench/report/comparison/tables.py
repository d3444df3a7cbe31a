"""A comparison as text of at most 100 columns, as GitHub markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sparsebench.analysis.comparison import Comparison
from sparsebench.analysis.formats import escape, plural, table
from sparsebench.analysis.statistics import bootstrap, sign_flips, summary
from sparsebench.analysis.verdicts import STATUS, UNDECIDED, Finding, Verdict, paired_differences
from sparsebench.errors import printable
from sparsebench.report.comparison import amounts

SCHEMA = 1
"""Of the JSON; docs/schemas/compare.json describes it."""

WIDTH = 100
WIDTHS = (16, 10, 10, 15, 18, 6, 2)
RIGHT = (False, True, True, True, False, True, True)


def as_text(comparison: Comparison) -> str:
    """A heading per cell and a line per metric; what is exactly the same shares a line."""
    percent = f"{100 * (1 - comparison.gates.alpha):g} %"
    header = ("", "base", "head", "change", f"{percent} interval", "p", "n", "verdict")
    lines = ["  " + _aligned(header)]
    for (_, label), group in groupby(comparison.findings, key=lambda one: (one.cell, one.label)):
        lines += [_cut(printable(label)), *_cell_lines(list(group))]
    lines += ["", *_closing(comparison)]
    return "\n".join(line.rstrip() for line in lines)


def _cell_lines(findings: Sequence[Finding]) -> Iterator[str]:
    same = [one.metric for one in findings if one.verdict is Verdict.SAME and one.metric != STATUS]
    for one in findings:
        if one.metric == STATUS:
            yield _cut(f"  {_marked(one)}: {printable(one.reason)}")
        elif one.verdict is not Verdict.SAME:
            yield "  " + _aligned(_row(one))
            yield from (_cut(f"      {printable(why)}") for why in whys(one))
    if same:
        yield _cut(f"  same: {', '.join(same)}")


def _row(one: Finding) -> tuple[str, ...]:
    return (
        one.metric.removesuffix("_bytes") if len(one.metric) > WIDTHS[0] else one.metric,
        amounts.value(one, one.base),
        amounts.value(one, one.head),
        amounts.change(one),
        amounts.interval(one),
        amounts.p_value(one.p_holm),
        str(one.n),
        _marked(one),
    )


def _marked(one: Finding) -> str:
    """The verdict, with what it means for the gate where it is bad."""
    if one.fails:
        return f"{one.verdict} !"
    return f"{one.verdict}"


def whys(one: Finding) -> Iterator[str]:
    """Why there is this verdict, where the numbers alone do not say it."""
    if one.reason:
        yield one.reason
    if one.detectable is not None:
        assert one.gate is not None
        yield (
            f"{one.n} {one.replicates} show a change of {amounts.detectable(one)} or more "
            f"(power 0.8); the gate is {one.gate.told()}"
        )


def _aligned(cells: Sequence[str]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, WIDTHS, RIGHT)
    ]
    return " ".join([*padded, cells[-1]])


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def _closing(comparison: Comparison) -> Iterator[str]:
    counts = ", ".join(f"{n} {verdict}" for verdict, n in comparison.counts().items())
    yield counts
    yield from (f"note: {note}" for note in comparison.notes)
    yield verdict_line(comparison)


def verdict_line(comparison: Comparison) -> str:
    """What the exit code says, in words."""
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


def as_markdown(comparison: Comparison) -> str:
    """The verdict first, then a row per finding; what is the same or ok is folded away."""
    shown = [one for one in comparison.findings if one.verdict not in (Verdict.SAME, Verdict.OK)]
    quiet = [one for one in comparison.findings if one.verdict in (Verdict.SAME, Verdict.OK)]
    base, head = (str(one.facts.get("run", "")) for one in (comparison.base, comparison.head))
    blocks = [
        f"### sparsebench compare: {verdict_line(comparison).rstrip()}",
        f"BASE {escape(printable(base))}, HEAD {escape(printable(head))}. Interval at "
        f"{100 * (1 - comparison.gates.alpha):g} %, p after Holm within the metric.",
    ]
    if shown:
        blocks.append(_markdown_table(shown))
    if quiet:
        blocks += [
            f"<details><summary>{len(quiet)} same or ok</summary>",
            _markdown_table(quiet),
            "</details>",
        ]
    blocks += [f"Note: {escape(note)}." for note in comparison.notes]
    return "\n\n".join(blocks) + "\n"


def _markdown_table(findings: Sequence[Finding]) -> str:
    header = ["cell", "metric", "verdict", "why", "base", "head", "change", "interval", "p", "n"]
    rows = [
        [
            escape(printable(one.label)),
            one.metric,
            f"**{one.verdict}**" if one.fails else str(one.verdict),
            escape(printable("; ".join(whys(one)))),
            *(_row(one)[1:7] if one.metric != STATUS else [""] * 6),
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
    found, low_high = one.difference, one.interval
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
        "interval": list(low_high) if low_high is not None else None,
        "p": found.p if found is not None else None,
        "p_holm": one.p_holm,
        "p_sign_flip": sign_flips(pairs) if len(pairs) > 1 else None,
        "detectable": one.detectable,
    }


def _side(values: Any, alpha: float) -> dict[str, Any] | None:
    if not values:
        return None
    found = summary([*values.values()], alpha)
    resampled = bootstrap([*values.values()], alpha)
    several = found.n > 1
    return {
        "mean": found.mean,
        "sd": found.sd if several else None,
        "n": found.n,
        "interval": [found.low, found.high] if several else None,
        "interval_bca": list(resampled) if resampled is not None else None,
        "seeds": [key[0] if isinstance(key, tuple) else key for key in values],
        "values": list(values.values()),
    }
