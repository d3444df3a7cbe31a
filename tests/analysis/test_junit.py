"""The JUnit XML of a comparison, held to the rules that CI servers read it by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as xml

import numpy as np
import pytest
from records import cell_trial as trial
from records import compared, run_of
from records import measured as record

from sparsebench.analysis.comparison import UNDECIDED, Comparison, Verdict
from sparsebench.report.comparison import as_junit
from sparsebench.store.record import Record

COUNT, SECONDS, TEXT = r"\d+", r"\d+(\.\d+)?", r".+"
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "testsuites": {"name": TEXT, "tests": COUNT, "failures": COUNT, "errors": COUNT,
                   "time": SECONDS},
    "testsuite": {"name": TEXT, "tests": COUNT, "failures": COUNT, "errors": COUNT,
                  "skipped": COUNT, "time": SECONDS},
    "properties": {},
    "property": {"name": TEXT, "value": r".*"},
    "testcase": {"name": TEXT, "classname": TEXT, "time": SECONDS},
    "failure": {"type": TEXT, "message": TEXT},
    "skipped": {"message": TEXT},
    "system-out": {},
}  # fmt: skip
CHILDREN = {
    "testsuites": r"(testsuite )*",
    "testsuite": r"(properties )?(testcase )*(system-out )?(system-err )?",
    "properties": r"(property )+",
    "testcase": r"(skipped )?(error )*(failure )*(system-out )*(system-err )*",
}
"""The order in which the schema of Jenkins (junit-10.xsd) has them; it allows more than these."""


def check_rules(element: xml.Element) -> None:
    allowed = ATTRIBUTES[element.tag]
    assert set(element.attrib) == set(allowed)
    for name, value in element.attrib.items():
        assert re.fullmatch(allowed[name], value, re.DOTALL), (name, value)
    inside = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(CHILDREN.get(element.tag, ""), inside), inside
    for child in element:
        check_rules(child)


def junit(comparison: Comparison) -> xml.Element:
    """As a reader gets it, checked."""
    text = as_junit(comparison)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ')
    root = xml.fromstring(text.encode())
    check_rules(root)
    (suite,) = root
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == len(comparison.findings)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    names = [(case.attrib["classname"], case.attrib["name"]) for case in cases]
    assert len(set(names)) == len(names)
    return suite


def test_a_case_per_cell_and_metric() -> None:
    rng = np.random.default_rng(1)
    comparison = compared(run_of(rng), run_of(rng, memory=1.1))
    suite = junit(comparison)
    failed = suite.findall("testcase/failure")
    assert len(failed) == 6
    assert all(one.attrib["type"] == "worse" for one in failed)
    complaint = r"worse: \+\d+\.\d+ %, the gate is \+5 % and \+512 KiB"
    assert re.fullmatch(complaint, failed[0].get("message", ""))
    numbers = dict(line.split(": ", 1) for line in (failed[0].text or "").splitlines())
    assert set(numbers) == {"base", "head", "change", "interval", "p (Holm)", "seeds", "gate"}
    assert numbers["seeds"] == "5"
    skipped = [one for one in comparison.findings if one.verdict in UNDECIDED]
    assert len(suite.findall("testcase/skipped")) == len(skipped) > 0


def test_what_only_warns_passes_and_says_so() -> None:
    rng = np.random.default_rng(2)
    sides = run_of(rng, time_cv=0.02), run_of(rng, time_cv=0.02, time=2.0)
    comparison = compared(*sides)
    suite = junit(comparison)
    assert suite.attrib["failures"] == "0"
    slower = [one for one in comparison.findings if one.verdict is Verdict.WORSE]
    texts = [one.text or "" for one in suite.findall("testcase/system-out")]
    assert sum(text.startswith("worse: ") for text in texts) == len(slower) == 6


def test_failing_new_and_removed_cells() -> None:
    ok = {"measures": {"stored_bytes": 12}}
    base = [record(trial(size=100, seed=s), **ok) for s in range(2)]
    base.append(record(trial(size=300), **ok))
    head = [record(trial(size=100, seed=s), "timeout", detail="no\nrecord") for s in range(2)]
    head.append(record(trial(size=1000), **ok))
    suite = junit(compared(base, head))
    (failure,) = suite.findall("testcase/failure")
    assert failure.attrib["type"] == "newly failing"
    assert failure.attrib["message"] == "newly failing: 2 ok against 2 timeout: no record"
    messages = [one.attrib["message"] for one in suite.findall("testcase/skipped")]
    assert messages == ["new: 1 ok", "removed: 1 ok"]


NASTY = "]]><failure/>&\x00\x1b[31m\ud800\ufffe\r\n\"'"


@pytest.mark.parametrize("text", [NASTY, "ä µ 雪", "\x85\u2028"])
def test_text_of_strangers_stays_text(text: str) -> None:
    def side(status: str) -> list[Record]:
        words = {"backend": text}
        return [record(trial(seed=s, words=words), status, detail=text) for s in range(2)]

    suite = junit(compared(side("ok"), side("error")))
    (case,) = suite.findall("testcase")
    assert len(suite.findall("testcase/failure")) == 1
    found = case.attrib["name"] + case[0].attrib["message"]
    assert found.isprintable()
    assert ("\\x1b[31m" in found) == ("\x1b" in text)


def test_cells_of_one_label_are_distinguished() -> None:
    words = {"backend": "mine"}
    both = [
        record(trial(size=size, seed=s, words=words), measures={"stored_bytes": size})
        for size in (100, 300)
        for s in range(2)
    ]
    names = [case.attrib["name"] for case in junit(compared(both, both)).findall("testcase")]
    assert names[0] == "backend=mine: stored_bytes"
    assert names[1] == f"backend=mine ({trial(size=300).cell}): stored_bytes"
