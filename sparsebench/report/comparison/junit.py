"""A comparison as JUnit XML, which CI servers show beside the results of tests.

A test case per cell and metric: it fails where a gate fails, and is skipped where nobody can
tell, or where there is nothing to compare with. What only warns passes, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as xml

from sparsebench.analysis.comparison import Comparison
from sparsebench.analysis.verdicts import STATUS, UNDECIDED, Finding, Verdict
from sparsebench.errors import printable
from sparsebench.report.comparison import amounts
from sparsebench.report.comparison.tables import verdict_line, whys

NOT_COMPARED = frozenset({*UNDECIDED, Verdict.NEW, Verdict.REMOVED})

SUITE = "sparsebench compare"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def as_junit(comparison: Comparison) -> str:
    """`testsuites` with one `testsuite`. Text of strangers is escaped, and what XML cannot hold
    is spelt out; the order is that of the findings."""
    root = xml.Element("testsuites", {"name": SUITE})
    suite = xml.SubElement(root, "testsuite", {"name": SUITE})
    _properties(suite, comparison)
    cases = list(_cases(comparison))
    suite.extend(cases)
    xml.SubElement(suite, "system-out").text = _closing(comparison)
    for element in (root, suite):
        element.set("tests", str(len(cases)))
        element.set("failures", str(len(comparison.failures)))
        element.set("errors", "0")
        element.set("time", "0")
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    xml.indent(root, " ")
    return f"{DECLARATION}\n{xml.tostring(root, 'unicode')}\n"


def _properties(suite: xml.Element, comparison: Comparison) -> None:
    found = xml.SubElement(suite, "properties")
    told = {
        "base": comparison.base.facts.get("run", ""),
        "head": comparison.head.facts.get("run", ""),
        "alpha": comparison.gates.alpha,
        "exit code": comparison.exit_code,
    }
    for name, value in told.items():
        xml.SubElement(found, "property", {"name": name, "value": printable(str(value))})


def _cases(comparison: Comparison) -> Iterator[xml.Element]:
    taken: dict[str, str] = {}
    for one in comparison.findings:
        label = printable(one.label)
        if taken.setdefault(label, one.cell) != one.cell:
            label = f"{label} ({one.cell})"
        yield _case(one, label)


def _case(one: Finding, label: str) -> xml.Element:
    case = xml.Element("testcase", {"classname": SUITE, "name": f"{label}: {one.metric}"})
    case.set("time", "0")
    told = _told(one)
    if one.fails:
        failed = xml.SubElement(case, "failure", {"type": str(one.verdict), "message": told})
        failed.text = "\n".join(_numbers(one))
    elif one.verdict in NOT_COMPARED:
        xml.SubElement(case, "skipped", {"message": told})
    else:
        xml.SubElement(case, "system-out").text = "\n".join([told, *_numbers(one)])
    return case


def _told(one: Finding) -> str:
    """In a line: the verdict, by how much, and why."""
    if one.verdict is Verdict.SAME and one.metric != STATUS:
        return str(one.verdict)
    change = amounts.change(one) if one.metric != STATUS else ""
    gate = f"the gate is {one.gate.told()}" if one.gate is not None and change else ""
    reasons = [change, gate, *whys(one)]
    return printable(f"{one.verdict}: {', '.join(filter(None, reasons))}")


def _numbers(one: Finding) -> Iterator[str]:
    """`base 45.1 MiB`, and so on, a line each; nothing for a status."""
    if one.metric == STATUS:
        return
    told = {
        "base": amounts.value(one, one.base),
        "head": amounts.value(one, one.head),
        "change": amounts.change(one),
        "interval": amounts.interval(one),
        "p (Holm)": amounts.p_value(one.p_holm),
        one.replicates: str(one.n),
        "gate": one.gate.told() if one.gate is not None else "",
    }
    yield from (f"{name}: {value}" for name, value in told.items() if value)


def _closing(comparison: Comparison) -> str:
    notes = (f"note: {printable(note)}" for note in comparison.notes)
    return "\n".join([*notes, verdict_line(comparison)])
