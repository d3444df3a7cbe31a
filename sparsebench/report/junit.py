"""A comparison as JUnit XML, which CI servers show beside the results of tests.

A test case per cell and metric: it fails where a gate fails, and is skipped where nothing can be
told or there is nothing to compare with. A gate that only warns passes with its message.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as xml

from sparsebench.analysis.comparison import Comparison
from sparsebench.analysis.verdicts import STATUS, UNDECIDED, Finding, Verdict
from sparsebench.errors import printable
from sparsebench.report.comparison import change, numbers, verdict_line, whys

NOT_COMPARED = frozenset({*UNDECIDED, Verdict.NEW, Verdict.REMOVED})

SUITE = "sparsebench compare"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def as_junit(comparison: Comparison) -> str:
    """`testsuites` with one `testsuite`, in the order of the findings. Foreign text is escaped,
    and characters that XML cannot hold are spelt out."""
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
    for one in comparison.findings:
        label = printable(one.label)
        if cells.setdefault(label, one.cell) != one.cell:
            label = f"{label} ({one.cell})"
        cases.append(_case(one, label))
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
    return f"{DECLARATION}\n{xml.tostring(root, 'unicode')}\n"


def _case(one: Finding, label: str) -> xml.Element:
    name = f"{label}: {printable(one.metric)}"
    case = xml.Element("testcase", {"classname": SUITE, "name": name, "time": "0"})
    message = str(one.verdict)
    if one.verdict is not Verdict.SAME or one.metric == STATUS:
        by = change(one, one.effect)
        parts = [by, f"the gate is {one.gate}" if by else "", *whys(one)]
        message = printable(f"{one.verdict}: {', '.join(filter(None, parts))}")
    if one.fails:
        failed = xml.SubElement(case, "failure", {"type": str(one.verdict), "message": message})
        failed.text = "\n".join(_lines(one))
    elif one.verdict in NOT_COMPARED:
        xml.SubElement(case, "skipped", {"message": message})
    else:
        xml.SubElement(case, "system-out").text = "\n".join([message, *_lines(one)])
    return case


def _lines(one: Finding) -> Iterator[str]:
    """`base: 45.1 MiB`, and so on, a line each; nothing for a status."""
    if one.metric != STATUS:
        names = ("base", "head", "change", "interval", "p (Holm)", one.replicates, "gate")
        shown = (*numbers(one), str(one.n), str(one.gate))
        yield from (f"{name}: {text}" for name, text in zip(names, shown) if text)
