"""`observers` in a suite: components that are not part of what a trial computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError
from sparsebench.suite.expand import expand, parse_setting
from sparsebench.suite.suite import read_suite

TEXT = """
schema = 1
name = "small"
[trial]
dataset = "wine"
model = { hidden = [8] }
epochs = 2
"""
CLASHING = """
from dataclasses import dataclass
from typing import ClassVar
from sparsebench import hookimpl
from sparsebench.core.metric import Metric
from sparsebench.core.observer import Observer

@dataclass(frozen=True)
class Other(Observer):
    share: float = 0.5
    metrics: ClassVar = (Metric("itop_rate", kinds=("epoch",)),)

@hookimpl
def register_observers(register):
    register("other", Other)
"""


def found(tmp_path: Path, more: str = "", *settings: str) -> list[Trial]:
    plugin = tmp_path / f"clashing_{tmp_path.name}.py"
    plugin.write_text(CLASHING)
    file = tmp_path / "small.toml"
    file.write_text(TEXT + more)
    given: dict[str, Any] = dict(map(parse_setting, settings))
    return expand(read_suite(file), load_plugins([plugin]), data_dir=tmp_path, settings=given)


def test_a_list_of_names_and_tables(tmp_path: Path) -> None:
    (trial,) = found(tmp_path, "observers = ['degrees', { name = 'other', share = 0.25 }]")
    assert trial.observers == [{"name": "degrees"}, {"name": "other", "share": 0.25}]
    assert Trial.from_json(trial.to_json()) == trial


def test_they_are_not_part_of_what_a_trial_computes(tmp_path: Path) -> None:
    (plain,) = found(tmp_path)
    (watched,) = found(tmp_path, "observers = ['degrees']")
    assert plain.observers == []
    assert (plain.id, plain.cell) == (watched.id, watched.cell)
    assert "observers" not in plain.spec()


def test_a_trial_of_an_older_store_has_none(tmp_path: Path) -> None:
    (plain,) = found(tmp_path)
    old = plain.to_json()
    del old["observers"]
    assert Trial.from_json(old) == plain


def test_set_gives_a_list_or_one_name(tmp_path: Path) -> None:
    listed = found(tmp_path, "", "observers=['itop', 'degrees']")[0].observers
    assert [one["name"] for one in listed] == ["itop", "degrees"]
    assert found(tmp_path, "", "observers=itop")[0].observers == [{"name": "itop"}]


def test_in_a_case_they_go_with_other_keys(tmp_path: Path) -> None:
    more = """
[[case]]
topology = "set"
observers = ["itop"]
[[case]]
topology = "static"
observers = []
"""
    assert [len(trial.observers) for trial in found(tmp_path, more)] == [1, 0]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("observers = ['itopp']", "trial.observers[0].name: unknown observer 'itopp'. Did you"),
        ("observers = [3]", "trial.observers[0]: expected a observer name or a table"),
        ("observers = ['itop', 'itop']", "trial.observers[1]: observer 'itop' is listed twice"),
        (
            "observers = [{name = 'other', shre = 1}]",
            "[0].shre: observer 'other' has no such",
        ),
        ("observers = ['itop', 'other']", "observers 'itop' and 'other' both give 'itop_rate'"),
        ("[grid]\nobservers = [[], ['itop']]", "grid: two trials are the same"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, complaint: str) -> None:
    with pytest.raises(SuiteError) as caught:
        found(tmp_path, more)
    assert complaint in str(caught.value)
