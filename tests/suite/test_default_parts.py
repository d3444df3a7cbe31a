"""Parts that a method has by default are left out of a trial's data, and are known all the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from records import FakeRun, make_record

from sparsebench.analysis.report_data import report_data
from sparsebench.analysis.trial_settings import component_settings
from sparsebench.core.methods.part_form import why_incomplete
from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError
from sparsebench.store.export_columns import trials_frame
from sparsebench.suite.expand import expand
from sparsebench.suite.selectors import matches
from sparsebench.suite.suite import parse_suite

SUITE = """
schema = 1
name = "parts"
trial = { dataset = "digits", model = { hidden = [30] }, epochs = 2 }

[grid]
topology = [
  { name = "set", density = 0.05 },
  { name = "rigl", density = 0.05 },
  { name = "dynamic", density = 0.05, drop = "random" },
]
seed = [0]
"""
CLAIM = """
[[claims]]
text = "dropping at random is as good"
metric = "test_accuracy"
where = { topology = "dynamic", "topology.drop" = "random" }
against = { topology = "set", "topology.drop" = "per-sign" }
"""


def trials_of(text: str) -> list[Trial]:
    return expand(parse_suite(text), load_plugins(), data_dir=Path())


def test_a_default_part_is_selected_by_its_name() -> None:
    own = trials_of(SUITE + CLAIM)
    assert [matches({"topology.drop": "per-sign"}, trial) for trial in own] == [True, False, False]
    assert [matches({"topology.drop": "magnitude"}, trial) for trial in own] == [False, True, False]
    assert [matches({"topology.zeta": 0.3}, trial) for trial in own] == [True] * 3
    with pytest.raises(SuiteError, match="Known: magnitude, per-sign, random"):
        trials_of(SUITE + CLAIM.replace("per-sign", "wrong"))


def test_it_has_no_part_in_the_id_of_a_trial() -> None:
    stated = SUITE.replace('name = "set", density = 0.05', 'name = "set", density = 0.05, '
                           'drop = "per-sign"')  # fmt: skip
    assert [trial.id for trial in trials_of(SUITE)] == [trial.id for trial in trials_of(stated)]
    assert "drop" not in trials_of(stated)[0].topology


def test_the_export_has_the_part_in_which_methods_differ() -> None:
    records = [make_record(trial) for trial in trials_of(SUITE)]
    frame = trials_frame(records, "r")
    assert list(frame["topology.drop"]) == ["per-sign", "magnitude", "random"]
    assert "topology.grow" not in frame  # no trial states it


def test_the_label_of_a_combination_says_what_is_its_own() -> None:
    found = report_data([FakeRun([make_record(trial) for trial in trials_of(SUITE)])])
    assert list(found.frame["topology_label"]) == ["set", "rigl", "dynamic (drop=random)"]


def test_the_settings_say_what_each_method_is() -> None:
    found = component_settings(trials_of(SUITE))
    assert found["topology rigl"].startswith("drop=magnitude, grow=gradient, update=cosine")
    assert "update_every=100" in found["topology rigl"]
    assert "drop=per-sign" in found["topology set"]
    assert "drop=random" in found["topology dynamic"]
    assert component_settings(trials_of(SUITE)[:1]) == {}


def test_a_claim_needs_two_sides_and_shares() -> None:
    itself = CLAIM.replace('"set", "topology.drop" = "per-sign"', '"dynamic"')
    with pytest.raises(SuiteError, match=r"claims\[0\]\.against: selects the same trials"):
        trials_of(SUITE + itself)
    with pytest.raises(SuiteError, match=r"tolerance: test_accuracy is a share .* write 0.02 for"):
        trials_of(SUITE + CLAIM + "tolerance = 2.0\n")


@dataclass(frozen=True)
class Complete:
    signals = ("batch",)
    by_sign = False

    def scores(self, layer: object) -> None: ...


def test_a_part_that_lacks_something_is_refused_before_the_run(tmp_path: Path) -> None:
    def changed(**attributes: object) -> type:
        return type("Changed", (Complete,), attributes)

    assert why_incomplete("drop", Complete) is None
    assert why_incomplete("activation", int) is None
    assert why_incomplete("drop", object) == (
        "has no signals and no by_sign and no scores; a drop has signals, by_sign, scores"
    )
    assert str(why_incomplete("drop", changed(signals=("batc",)))).startswith(
        "signals has 'batc'. Did you mean 'batch'?"
    )
    assert why_incomplete("drop", changed(signals="batch")) == (
        "signals is the text 'batch'; expected a tuple, such as ('batch',)"
    )
    assert why_incomplete("drop", changed(by_sign="no")) == (
        "by_sign is 'no'; expected True or False"
    )
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    text = SUITE.replace('"random" }', '"mine" }')
    with pytest.raises(
        SuiteError, match=r"topology\[2\]\.drop: drop 'mine' of mine .* has no by_sign"
    ):
        expand(parse_suite(text), load_plugins([file]), data_dir=Path())


PLUGIN = """
from dataclasses import dataclass

from sparsebench import hookimpl

@dataclass(frozen=True)
class Mine:
    signals = ()

    def scores(self, layer):
        return abs(layer.W.data)

@hookimpl
def register_drops(register):
    register("mine", Mine)
"""
