"""Prints a comparison as text of 80 columns, as GitHub markdown, as JSON, and as JUnit XML."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as xml

from sparsebench.analysis.comparison import STATUS, UNDECIDED, Comparison, Finding, Verdict
from sparsebench.analysis.comparison_sides import Replicate
from sparsebench.analysis.number_format import in_unit, one, p_value, plural, signed
from sparsebench.analysis.statistics import Spread, bootstrap, sign_flips
from sparsebench.core.metric import Metric
from sparsebench.core.status import Status
from sparsebench.errors import printable
from sparsebench.metrics import Metrics
from sparsebench.report.document import Bold, Cell, Table
from sparsebench.report.markdown_blocks import inline, printed
from sparsebench.store.record import Record

SCHEMA = 1
"""The version of the JSON, which docs/schemas/compare.json describes."""

WIDTH = 80
WIDTHS = (16, 10, 10, 15, 6, 2)
RIGHT = (False, True, True, True, True, True)
QUIET = (Verdict.SAME, Verdict.OK)
NOT_COMPARED = frozenset({*UNDECIDED, Verdict.NEW, Verdict.REMOVED})
SUITE = "sparsebench compare"


# --- the numbers of a finding --------------------------------------------------------


def numbers(finding: Finding) -> tuple[str, ...]:
    """Base, head, change, interval and p as texts; empty for the finding on a status."""
    if finding.gate is None:
        return ("",) * 5
    means = (Spread.of(values.values()).mean for values in (finding.base, finding.head))
    base, head = (in_unit(finding.gate.metric, one(mean)) for mean in means)
    interval = ""
    if finding.interval is not None:
        low, high = (_change(finding, end, unit=False) for end in finding.interval)
        interval = f"[{low}, {high}]"
    return base, head, _change(finding, finding.effect), interval, p_value(finding.p_holm)


def _change(finding: Finding, value: float | None, *, unit: bool = True) -> str:
    """A change as text: `+10.2 %`, `-0.21 points`, `+12`; empty if there is no number."""
    if value is None or finding.gate is None:
        return ""
    return signed(finding.gate.metric, value, relative=finding.is_ratio, unit=unit)


def whys(finding: Finding) -> Iterator[str]:
    """Yield reasons for the verdict that its numbers do not show."""
    if finding.reason:
        yield finding.reason
    if finding.detectable is not None:
        least = _change(finding, finding.detectable).removeprefix("+")
        yield (
            f"{finding.n} {finding.replicates} show a change of {least} or more (power 0.8); the "
            f"gate is {finding.gate}"
        )


def verdict_line(comparison: Comparison) -> str:
    """The meaning of the exit code, in words."""
    failed = len(comparison.failures)
    on = f" on {comparison.head.pairs}" if comparison.stopped else ""
    undecided = [one for one in comparison.findings if one.verdict in UNDECIDED]
    if failed:
        gates = sorted({one.metric for one in comparison.failures})
        return (
            f"FAILED{on}: {plural(failed, 'finding')} beyond a gate, marked '!': {', '.join(gates)}"
        )
    warned = sum(one.verdict is Verdict.WORSE for one in comparison.findings)
    tail = f"; {warned} worse, as a warning" if warned else ""
    floored = [one.metric for one in comparison.findings if one.verdict is Verdict.BELOW_FLOOR]
    if floored:
        tail += f"; {len(floored)} below the floor ({', '.join(dict.fromkeys(floored))})"
    if removed := comparison.removed:
        tail += f"; {plural(removed, 'cell')} of BASE not in HEAD"
    if comparison.exit_code:
        left = len(comparison.undecided)
        strictly = " and the comparison is strict" if comparison.gates.strict else ""
        hint = f" ({_undecided(undecided)})" if undecided else ""
        what = f"{plural(left, 'finding')} could not be decided{hint}{strictly}"
        if comparison.stopped and not left and comparison.gates.strict:
            what = "not all pairs ran and the comparison is strict"
        elif removed and not left and comparison.gates.strict:
            what = "HEAD lacks cells of BASE and the comparison is strict"
        return f"INCONCLUSIVE{on}: {what}{tail}"
    if undecided:
        return f"PASSED{on}, {len(undecided)} undecided ({_undecided(undecided)}){tail}"
    return f"PASSED{on}: no gate failed{tail}"


def _undecided(findings: Sequence[Finding]) -> str:
    """The metrics of undecided findings: `epoch_seconds; about 12 more rounds would decide`."""
    names = ", ".join(dict.fromkeys(one.metric for one in findings))
    known = [more for one in findings if (more := more_needed(one)) is not None]
    if not known:
        return names
    count, unit = max(known)
    unit = unit.removesuffix("s") if count == 1 else unit
    all_of_them = "" if len(known) == len(findings) else f" {len(known)} of them"
    return f"{names}; about {count} more {unit} would decide{all_of_them}"


def more_needed(finding: Finding) -> tuple[int, str] | None:
    """About how many more rounds or seeds would decide the finding, with their unit ("rounds",
    "seeds"); None if unknown."""
    if finding.missing is None:
        return None
    seeds = {key[0] for key in (finding.head or finding.base) if isinstance(key, tuple)}
    if seeds:
        return math.ceil(finding.missing / len(seeds)), "rounds"
    return finding.missing, "seeds"


def verdict_words(finding: Finding) -> str:
    """The verdict in words; it mentions the floor if the change is below it."""
    if finding.verdict is Verdict.BELOW_FLOOR and finding.gate is not None:
        floor = signed(finding.gate.metric, finding.gate.floor).removeprefix("+")
        return f"{finding.verdict} of {floor}"
    return str(finding.verdict)


# --- text and markdown ---------------------------------------------------------------


def as_text(comparison: Comparison) -> str:
    """A heading per cell and a line per metric; metrics that are exactly the same share a line."""
    percent = f"{100 * (1 - comparison.gates.alpha):g} %"
    lines = [wrapped for side in _sides(comparison) for wrapped in _wrapped(side)]
    lines.append("  " + _aligned(("", "base", "head", "change", "p", "n", "verdict")))
    for (_, label), group in groupby(comparison.findings, key=lambda one: (one.cell, one.label)):
        lines += [*_wrapped(printable(label)), *_cell_lines(list(group), percent)]
    lines += ["", ", ".join(f"{n} {verdict}" for verdict, n in comparison.counts().items())]
    for note in comparison.notes:
        lines += _wrapped(f"note: {note}")
    return "\n".join(line.rstrip() for line in [*lines, *_wrapped(verdict_line(comparison))])


def _cell_lines(findings: Sequence[Finding], percent: str) -> Iterator[str]:
    same = [
        found.metric
        for found in findings
        if found.verdict is Verdict.SAME and found.metric != STATUS
    ]
    for found in findings:
        verdict = f"{found.verdict} !" if found.fails else verdict_words(found)
        if found.metric == STATUS:
            yield from _wrapped(f"  {verdict}: {printable(found.reason)}")
        elif found.verdict is not Verdict.SAME:
            name = printable(found.metric)
            name = name.removesuffix("_bytes") if len(name) > WIDTHS[0] else name
            base, head, change, interval, p = numbers(found)
            cells = (name, base, head, change, p, str(found.n))
            fits = len(_aligned((*cells, verdict))) + 2 <= WIDTH
            yield "  " + _aligned((*cells, verdict if fits else ""))
            if not fits:
                yield from _wrapped(f"      {verdict}")
            if interval:
                yield f"      {percent} interval {interval}"
            for why in whys(found):
                yield from _wrapped(f"      {printable(why)}")
    if same:
        yield from _wrapped(f"  same: {printable(', '.join(same))}")


def _sides(comparison: Comparison) -> Iterator[str]:
    """Yield a line for each side: `BASE 20261128T...-smoke, sparsebench 0123abcd4567`."""
    for name, side in (("BASE", comparison.base), ("HEAD", comparison.head)):
        run, commit = str(side.facts.get("run", "")), str(side.facts.get("commit", ""))
        short = commit[:12] + ("+" if commit.endswith("+") else "")
        version = f", sparsebench {short}" if short and short not in run else ""
        if run or version:
            yield printable(f"{name} {run}{version}")


def _aligned(cells: Sequence[str]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, WIDTHS, RIGHT)
    ]
    return " ".join([*padded, cells[-1]])


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def as_markdown(comparison: Comparison) -> str:
    """The verdict, followed by a table with a row per finding; findings that are the same or ok are
    in a collapsed block."""
    shown = [one for one in comparison.findings if one.verdict not in QUIET]
    quiet = [one for one in comparison.findings if one.verdict in QUIET]
    blocks = [
        f"### sparsebench compare: {verdict_line(comparison).rstrip()}",
        inline(
            f"{'; '.join(_sides(comparison))}. Interval at "
            f"{100 * (1 - comparison.gates.alpha):g} %, p after Holm within the metric."
        ),
    ]
    if shown:
        blocks.append(printed(_table(shown)))
    if quiet:
        summary_line = f"<details><summary>{len(quiet)} same or ok</summary>"
        blocks += [summary_line, printed(_table(quiet)), "</details>"]
    if by_pair := list(_pair_rows(comparison)):
        head = ["cell", "metric", "seed", "round", "base", "head", "change"]
        summary_line = f"<details><summary>{len(by_pair)} results by pair</summary>"
        blocks += [summary_line, printed(Table(head, by_pair, left=2)), "</details>"]
    blocks += [inline(f"Note: {note}.") for note in comparison.notes]
    return "\n\n".join(blocks) + "\n"


def _pair_rows(comparison: Comparison) -> Iterator[list[str]]:
    """Yield a row for each metric and pair of trials that ran in turn; none for two separate
    runs."""
    for found in comparison.findings:
        if found.gate is None or found.gate.exact or found.replicates != "pairs":
            continue
        for key in found.head:
            if isinstance(key, tuple) and key in found.base:
                base, head = found.base[key], found.head[key]
                yield [
                    found.label, found.metric, str(key[0]), str(key[1] + 1),
                    *change_words(found.gate.metric, base, head),
                ]  # fmt: skip


def change_words(metric: Metric, base: float, head: float) -> tuple[str, str, str]:
    """Both values and the change between them in words; an empty change if it is not known."""
    relative = metric.scale == "ratio"
    change = (head / base - 1 if base else math.nan) if relative else head - base
    difference = "" if math.isnan(change) else signed(metric, change, relative=relative)
    return in_unit(metric, one(base)), in_unit(metric, one(head)), difference


def pair_line(base: Record, head: Record, metrics: Metrics) -> str:
    """A line on a pair of trials: `epoch_seconds 0.95 s, 1.02 s (+7.4 %); ...`, with the metrics
    that have a gate; or how the two ended, if one did not end well."""
    if not base.status == head.status == Status.OK:
        return f"BASE {base.status}, HEAD {head.status}"
    changes = []
    for metric in metrics.of_trials():
        values = base.measures.get(metric.name), head.measures.get(metric.name)
        if metric.gate is None or metric.scale == "exact" or None in values:
            continue
        was, now, change = change_words(metric, float(values[0] or 0.0), float(values[1] or 0.0))
        changes.append(f"{metric.name} {was}, {now} ({change})")
    return "; ".join(changes)


def _table(findings: Sequence[Finding]) -> Table:
    header = ["cell", "metric", "verdict", "why", "base", "head", "change", "interval", "p", "n"]
    rows = [
        [one.label, one.metric, Cell([Bold(one.verdict) if one.fails else verdict_words(one)]),
         "; ".join(whys(one)), *numbers(one), str(one.n) if one.metric != STATUS else ""]
        for one in findings
    ]  # fmt: skip
    return Table(header, rows, left=4)


# --- JSON ----------------------------------------------------------------------------


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON data; numbers are finite or null. Bootstrap intervals and the p
    of sign flips are computed only here."""
    gates, pairs = comparison.gates, comparison.head.pairs
    return {
        "schema": SCHEMA,
        "base": dict(comparison.base.facts),
        "head": dict(comparison.head.facts),
        "alpha": gates.alpha,
        "min_seeds": gates.min_seeds,
        "strict": gates.strict,
        "pairs": asdict(pairs) if pairs is not None else None,
        "gates": [gate.to_json() for gate in comparison.gates_used],
        "findings": [_finding(one, gates.alpha) for one in comparison.findings],
        "counts": comparison.counts(),
        "notes": comparison.notes,
        "exit_code": comparison.exit_code,
    }


def _finding(one: Finding, alpha: float) -> dict[str, Any]:
    found = one.difference
    pairs = one.paired_differences() if found is not None and found.paired else []
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
        "missing": one.missing,
    }


def _side(by_replicate: Mapping[Replicate, float], alpha: float) -> dict[str, Any] | None:
    values = [*by_replicate.values()]
    if not values:
        return None
    found, resampled = Spread.of(values), bootstrap(values, alpha)
    return {
        "mean": found.mean,
        "sd": found.sd if found.n > 1 else None,
        "n": found.n,
        "interval": list(found.interval(alpha)) if found.n > 1 else None,
        "interval_bca": list(resampled) if resampled is not None else None,
        "seeds": [key[0] if isinstance(key, tuple) else key for key in by_replicate],
        "values": values,
    }


# --- JUnit, which CI servers show beside the results of tests ------------------------


def as_junit(comparison: Comparison) -> str:
    """A JUnit file with one test suite and a test case per finding. A case fails if its gate fails,
    and is skipped if there is no verdict or nothing to compare. If a gate only warns, its case
    passes with a message. Characters that XML does not allow are spelt out."""
    root = xml.Element("testsuites", {"name": SUITE})
    suite = xml.SubElement(root, "testsuite", {"name": SUITE})
    properties = xml.SubElement(suite, "properties")
    for name, text in {
        "base": comparison.base.facts.get("run", ""),
        "head": comparison.head.facts.get("run", ""),
        "alpha": comparison.gates.alpha,
        "exit code": comparison.exit_code,
    }.items():
        xml.SubElement(properties, "property", {"name": name, "value": printable(str(text))})
    cells: dict[str, str] = {}
    cases = []
    for found in comparison.findings:
        label = printable(found.label)
        if cells.setdefault(label, found.cell) != found.cell:
            label = f"{label} ({found.cell})"
        cases.append(_case(found, f"{label}: {printable(found.metric)}"))
    suite.extend(cases)
    notes = (f"note: {printable(note)}" for note in comparison.notes)
    xml.SubElement(suite, "system-out").text = "\n".join([*notes, verdict_line(comparison)])
    for element in (root, suite):
        element.set("tests", str(len(cases)))
        element.set("failures", str(len(comparison.failures)))
        element.set("errors", "0")
        element.set("time", "0")
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    xml.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml.tostring(root, "unicode")}\n'


def _case(one: Finding, name: str) -> xml.Element:
    case = xml.Element("testcase", {"classname": SUITE, "name": name, "time": "0"})
    lines: list[str] = []
    message = verdict_words(one)
    if one.verdict is not Verdict.SAME or one.metric == STATUS:
        by = _change(one, one.effect)
        texts = [by, f"the gate is {one.gate}" if by else "", *whys(one)]
        message = printable(f"{verdict_words(one)}: {', '.join(filter(None, texts))}")
    if one.metric != STATUS:
        names = ("base", "head", "change", "interval", "p (Holm)", one.replicates, "gate")
        shown = (*numbers(one), str(one.n), str(one.gate))
        lines = [f"{name}: {text}" for name, text in zip(names, shown) if text]
    if one.fails:
        failed = xml.SubElement(case, "failure", {"type": str(one.verdict), "message": message})
        failed.text = "\n".join(lines)
    elif one.verdict in NOT_COMPARED:
        xml.SubElement(case, "skipped", {"message": message})
    else:
        xml.SubElement(case, "system-out").text = "\n".join([message, *lines])
    return case
