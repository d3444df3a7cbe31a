"""Times of trials that had fewer cores than threads are marked, and what is marked is counted."""

from __future__ import annotations

from records import FakeRun, make_record, make_trial

from sparsebench.report.markdown import report
from sparsebench.store.export_columns import trials_frame

CROWDED = {"exact": True, "oversubscribed": True}


def test_times_of_too_few_cores_are_marked_and_counted(tmp_path):
    records = [
        make_record(make_trial(seed=0)),
        make_record(make_trial(seed=1), settings=CROWDED),
        make_record(make_trial(seed=2), settings=CROWDED, noise={"marks": ["load"]}),
    ]
    text = report([FakeRun(records)], tmp_path)
    times = text.split("## Time")[1].split("\n## ")[0]
    assert "12.0 ms § 1/3 ¶" in times
    assert "¶ 2 of 3 trials had more threads" in times
    assert "§ 1 of 3 trials ran while the machine was disturbed" in times
    assert "¶" not in text.split("## Memory")[1].split("\n## ")[0]


def test_with_a_core_for_each_thread_there_is_no_mark(tmp_path):
    assert "¶" not in report([FakeRun([make_record(make_trial(seed=0))])], tmp_path)


def test_the_export_names_them():
    records = [make_record(make_trial(seed=0)), make_record(make_trial(seed=1), settings=CROWDED)]
    assert trials_frame(records, "r1")["oversubscribed"].tolist() == [False, True]
