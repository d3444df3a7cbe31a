"""Times of compiled steps and of steps layer by layer are not mixed without a word."""

from __future__ import annotations

import pytest
from records import FakeRun, make_record, make_trial

from sparsebench.report.markdown import report
from sparsebench.store.export_columns import trials_frame


def record(seed: int, step: str | None):
    settings = {"exact": True} if step is None else {"exact": True, "step": step}
    return make_record(make_trial(seed=seed), settings=settings)


def test_two_ways_of_one_backend_are_named_under_the_times(tmp_path):
    text = report(
        [FakeRun([record(0, "compiled"), record(1, "compiled"), record(2, "layers")])], tmp_path
    )
    times = text.split("## Time")[1].split("\n## ")[0]
    assert "a step was one compiled call in 2 trials and went layer by layer in 1" in times


@pytest.mark.parametrize("steps", [("compiled", "compiled"), ("layers", None)])
def test_one_way_needs_no_word(tmp_path, steps):
    records = [record(seed, step) for seed, step in enumerate(steps)]
    assert "layer by layer" not in report([FakeRun(records)], tmp_path)
    assert trials_frame(records, "r1")["step"].tolist() == [step or "" for step in steps]
