"""Cells over the runs of one suite."""

from dataclasses import replace

from records import FakeRun, make_record, make_trial

from sparsebench.analysis.report_data import report_data
from sparsebench.report.document import plain
from sparsebench.report.history import history


def run(day, seconds, reused=()):
    trials = [make_trial(backend={"name": name}) for name in seconds]
    records = [
        make_record(trial, started=f"2026-01-{day:02}", measures={"epoch_seconds": value})
        for trial, value in zip(trials, seconds.values())
    ]
    manifest = {"git": {"commit": f"{day:07}aaaa", "dirty": False}}
    return FakeRun([*records, *reused], id=f"202601{day:02}T0-demo", manifest=manifest)


def test_a_cell_has_a_number_for_each_run_that_measured_it_and_the_change():
    runs = [run(1, {"csr": 1.0, "mask": 4.0}), run(2, {"csr": 1.5})]
    (section,) = history(runs, report_data(runs[1:]))
    (table,) = section.tables
    assert list(table.header)[2:] == ["2026-01-01 0000001", "2026-01-02 0000002", "change"]
    (row,) = [row for row in table.cells if plain(row[1].text) == "time per epoch"]
    assert [plain(cell.text) for cell in row[2:]] == ["1.00 s", "1.50 s", "+50.0 %"]
    (chart,) = section.charts
    times = next(panel for panel in chart.panels if panel.title == "time per epoch")
    assert [(one.x, one.y) for one in times.series] == [([0.0, 1.0], [1.0, 1.5])]


def test_runs_are_compared_by_the_seeds_that_all_have():
    first = run(1, {"csr": 1.0})
    further = make_record(make_trial(backend={"name": "csr"}, seed=7), started="2026-01-01",
                          measures={"epoch_seconds": 9.0})  # fmt: skip
    first.records.append(further)
    runs = [first, run(2, {"csr": 1.5})]
    ((table,),) = (section.tables for section in history(runs, report_data(runs[1:])))
    assert [plain(cell.text) for cell in table.cells[1][2:]] == ["1.00 s", "1.50 s", "+50.0 %"]


def test_a_record_that_was_taken_over_is_no_new_number():
    first = run(1, {"csr": 1.0})
    second = replace(run(2, {}), records=first.records)
    assert history([first, second], report_data([second])) == []
