"""Regenerate the golden report with: SPARSEBENCH_GOLDEN=write pytest tests/report"""

import os
from pathlib import Path

import pytest
from records import MACHINE, FakeRun, make_record, make_trial, realistic, stored

from sparsebench.analysis.report_data import report_data
from sparsebench.cli.export import export as export_command
from sparsebench.cli.export import report as report_command
from sparsebench.report.markdown import report
from sparsebench.report.sections import command
from sparsebench.report.summary import lowest, statements

GOLDEN = Path(__file__).parent / "golden" / "report.md"


def timed(seconds, seed, backend, **changed):
    trial = make_trial(seed=seed, backend={"name": backend})
    return make_record(trial, measures={"epoch_seconds": seconds}, **changed)


def test_report_is_the_golden_one(tmp_path):
    run = realistic(tmp_path, epochs=4, seeds=2)
    bad = make_trial(seed=9, epochs=4, timeout=60.0, memory_limit=2**30)
    run.records.append(make_record(bad, "crashed", cause="SIGSEGV", log_tail="a | b\nSegfault <x>"))
    text = report([run], tmp_path, prefix="demo-")
    if os.environ.get("SPARSEBENCH_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    images = [line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert images
    assert all((tmp_path / image).is_file() for image in images)


def test_an_empty_run_says_so(tmp_path):
    text = report([FakeRun([])], tmp_path)
    assert "The run has no trials" in text
    assert "## Accuracy" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_which_nothing_finished(tmp_path):
    text = report([FakeRun([make_record(make_trial(), "error", cause="ValueError")])], tmp_path)
    assert "1 trial on digits (1 topology, 1 backend, 1 seed): 0 of 1 finished." in text
    assert "1 trial failed (1 error)." in text
    assert "## Failures" in text
    assert "## Time" not in text


def test_one_seed_has_no_spread_and_says_so_once(tmp_path):
    text = report([realistic(tmp_path, epochs=2, seeds=1)], tmp_path)
    assert text.count("no spread is known") == 1
    assert "±" not in text.split("## Time")[0].split("## Accuracy")[1].split("Test accuracy")[0]


def test_ratios_are_of_equal_pairs():
    records = [timed(1.0, 0, "a"), timed(2.0, 0, "b"), timed(1.0, 1, "a"), timed(8.0, 1, "b")]
    found = lowest(report_data([FakeRun([*records, timed(0.1, 2, "b")])]).ok, "epoch_seconds")
    assert found.name == "a"
    (other,) = found.others
    assert (other.name, other.least, other.most) == ("b", 2.0, 8.0)
    assert other.mean == pytest.approx(4.0)


def test_no_ratio_is_claimed_across_machines_or_runs():
    there = timed(2.0, 0, "b", machine={**MACHINE, "id": "cd34"})
    assert "only the backend" not in str(
        statements(report_data([FakeRun([timed(1.0, 0, "a"), there])]))
    )
    apart = [FakeRun([timed(1.0, 0, "a")], id="r1"), FakeRun([timed(2.0, 0, "b")], id="r2")]
    assert "only the backend" not in str(statements(report_data(apart)))


def test_one_backend_is_compared_with_none():
    assert "only the backend" not in str(statements(report_data([FakeRun([timed(1.0, 0, "a")])])))


def test_an_unfinished_run_says_how_much_is_missing(tmp_path):
    run = FakeRun([make_record(make_trial())], manifest={"trials": [{}, {}, {}]})
    assert "is not complete: 2 of its 3 trials have no record." in report([run], tmp_path)


def test_the_command_to_repeat_names_no_folder_of_the_user():
    assert command(FakeRun([])) == "sparsebench run demo --seeds 0:3"
    assert command(FakeRun([], manifest={})) == "sparsebench run demo"
    odd = FakeRun([], manifest={"argv": ["/x/__main__.py", "run", "a b"]})
    assert command(odd) == "sparsebench run 'a b'"


@pytest.fixture
def store(tmp_path):
    """A store with one run of one trial."""
    return stored(tmp_path / "store", [make_record(make_trial())])


def test_report_command_prints_and_leaves_plots_with_the_run(store, capsys, monkeypatch, tmp_path):
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    report_command(["latest"], store=store.path)
    printed = capsys.readouterr().out
    assert printed.startswith("# demo\n")
    assert page.read_text() == "before\n" + printed


def test_report_command_writes_a_file(store, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    file = tmp_path / "out" / "demo.md"
    report_command(["latest"], output=[file], store=store.path)
    assert file.read_text().startswith("# demo\n")
    assert capsys.readouterr().out == ""


def test_export_command(store, capfdbinary, tmp_path):
    export_command("latest", format="csv", store=store.path)
    assert capfdbinary.readouterr().out.startswith(b"run,trial,status,cause,suite,")
    export_command("latest", format="json", epochs=True, output=tmp_path / "e", store=store.path)
    assert '"epoch": null' in (tmp_path / "e").read_text()
