"""Objectives and scaling in suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsebench.discovery import load_plugins
from sparsebench.errors import SuiteError
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import read_suite

HEAD = """
schema = 1
name = "s"
[trial]
dataset = "digits"
model = {{ hidden = [5]{model} }}
epochs = 1
{more}
"""
SUITES = Path(__file__).parents[2] / "suites"


def trials(tmp_path, more="", model="", rest=""):
    file = tmp_path / "s.toml"
    file.write_text(HEAD.format(more=more, model=model) + rest)
    return expand(read_suite(file), load_plugins(), data_dir=tmp_path)


def test_naming_the_default_changes_nothing(tmp_path):
    (plain,) = trials(tmp_path)
    (named,) = trials(tmp_path, 'objective = "classification"\nscaling = "feature"')
    assert named.id == plain.id
    assert plain.model["loss"] == {"name": "cross-entropy"}


def test_another_objective_owns_the_loss(tmp_path):
    (trial,) = trials(tmp_path, 'objective = { name = "reconstruction", noise = 0.2 }')
    assert trial.objective["loss"] == {"name": "squared-error"}
    assert trial.model["loss"] is None
    with pytest.raises(SuiteError, match=r"trial\.model\.loss: trial.objective is given"):
        trials(tmp_path, 'objective = "reconstruction"', model=', loss = "mse"')


def test_grids_claims_and_where_know_objectives(tmp_path):
    rest = """
[grid]
objective = ["classification", "reconstruction"]
scaling = ["feature", "range"]
[[exclude]]
where = { objective = "classification", scaling = "range" }
[[claims]]
text = "t"
metric = "test_mse"
where = { objective = "reconstruction", scaling = "range" }
value = 1.0
"""
    found = trials(tmp_path, rest=rest)
    assert [(t.objective["name"], t.scaling) for t in found] == [
        ("classification", "feature"), ("reconstruction", "feature"), ("reconstruction", "range"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('objective = "regresion"', "Did you mean 'regression'"),
        ('objective = { name = "reconstruction", noise = -1 }', "trial.objective.noise"),
        (
            'scaling = "minmax"',
            "unknown scaling 'minmax'. Known: data, feature, none, range",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, more, message):
    with pytest.raises(SuiteError, match=message):
        trials(tmp_path, more)


@pytest.mark.parametrize(
    "name", ["regression", "quickselection-mnist", "feature-selection", "feature-selection-wide"]
)
def test_the_suites_expand(tmp_path, name):
    suite = read_suite(SUITES / f"{name}.toml")
    assert expand(suite, load_plugins(), data_dir=tmp_path)
    assert expand(suite, load_plugins(), data_dir=tmp_path, quick=True)
