"""Control characters of a foreign store reach no report: they are spelt out."""

from __future__ import annotations

import pytest
from records import FakeRun, make_record, make_trial

from sparsebench.api import Run
from sparsebench.report.html.page import report as html
from sparsebench.report.latex import report as latex
from sparsebench.report.markdown import report as markdown

FOREIGN = "x\x1b[2J\u202ey\x07"
SUITE = """
name = "demo"
title = "x\\u001b[2J\\u202ey"
source = "x\\u001b[2J\\u202ey"
deviations = ["x\\u001b[2J\\u202ey"]
[[claims]]
text = "x\\u001b[2J\\u202ey"
metric = "test_accuracy"
where = {}
value = 0.9
source = "x\\u001b[2J\\u202ey"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    parts = {name: {"name": FOREIGN, "prune": None} for name in ("topology", "backend", "dataset")}
    machine = {"id": FOREIGN, "cpu": FOREIGN, "system": FOREIGN, "kernel": FOREIGN}
    circumstances = {
        "machine": machine,
        "noise": {"marks": [FOREIGN]},
        "audit": {"claims": FOREIGN, "verdict": FOREIGN, "flags": [FOREIGN], "why": FOREIGN},
        "fingerprint": {"versions": {FOREIGN: FOREIGN}},
        "started": FOREIGN,
    }
    records = [
        make_record(make_trial(seed=0, **parts), measures={FOREIGN: 1.0}, **circumstances),
        make_record(make_trial(seed=1, **parts), "error", cause=FOREIGN, detail=FOREIGN,
                    log_tail=f"{FOREIGN}\n{FOREIGN}", **circumstances),
        make_record(make_trial(seed=2, data={"missing": FOREIGN}), "skipped", detail=FOREIGN),
    ]  # fmt: skip
    manifest = {
        "argv": ["sparsebench", "run", FOREIGN], "versions": {FOREIGN: FOREIGN},
        "git": {"commit": FOREIGN, "dirty": False}, "title": FOREIGN,
        "metrics": [{"name": FOREIGN, "title": FOREIGN}],
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    return FakeRun(records, folder, suite_text=SUITE, manifest=manifest)


@pytest.mark.parametrize("format", ["markdown", "html", "latex", "run card", "trial card"])
def test_control_characters_are_spelt_out(run, tmp_path, format):
    pages = {
        "markdown": lambda: markdown([run], tmp_path),
        "html": lambda: html([run]),
        "latex": lambda: latex([run]),
        "run card": lambda: Run(run)._repr_html_(),
        "trial card": lambda: Run(run).trial(run.records[1].trial.id)._repr_html_(),
    }
    page = pages[format]()
    assert not {"\x1b", "\x07", "\u202e"} & set(page)
    assert "x1b" in page
