"""A topology that the training was too short to update is marked, and the mark is explained."""

from __future__ import annotations

from records import FakeRun, make_record, make_trial

from sparsebench.core.sizes import updates_in_time
from sparsebench.discovery import load_plugins
from sparsebench.report.latex import chosen
from sparsebench.report.markdown import report

STILL = {"exact": True, "never_updated": True}
RIGL = {"name": "rigl", "density": 0.05, "prune": None}


def test_a_topology_that_was_never_updated_is_marked_in_every_table(tmp_path):
    records = [
        make_record(make_trial(seed=0)),
        make_record(make_trial(seed=0, topology=RIGL), settings=STILL),
    ]
    text = report([FakeRun(records)], tmp_path)
    assert "∅ the topology was never updated in some or all of these trials" in text
    for table in ("Accuracy", "Time", "Memory"):
        rows = text.split(f"## {table}\n")[1].split("\n## ")[0]
        assert "rigl ∅" in rows, table
        assert "set ∅" not in rows, table
    tex = chosen([FakeRun(records)], ["topology"], [], ["test_accuracy"])
    assert r"rigl $\emptyset$" in tex


def test_without_such_a_trial_nothing_is_said(tmp_path):
    assert "∅" not in report([FakeRun([make_record(make_trial(seed=0))])], tmp_path)


def test_settings_that_leave_no_time_for_an_update_count_too():
    plugins = load_plugins()

    def changes(**given):
        data = plugins.validate("topology", given, "t")
        return updates_in_time(plugins.parameters("topology", data))

    assert changes(name="dynamic", update_every=20, update_until=10)
    assert changes(name="rigl")
    assert not changes(name="static")
    assert not changes(name="snip")
    assert not changes(name="dense")
