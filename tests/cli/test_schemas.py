"""Real outputs of `--json` are as published in docs/schemas/."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from cli_words import PUBLISHED, Cli, validate
from records import cell_trial, measured

from sparsebench.cli.output import result_numbers

CLAIMS = """
[[claims]]
text = "SET is at least as good"
metric = "test_accuracy"
where = { topology = "set" }
against = { topology = "dense" }
tolerance = 0.1

[[claims]]
text = "an epoch takes a second"
metric = "epoch_seconds"
where = { topology = "dense" }
value = 1.0
"""


def test_schemas_are_schemas() -> None:
    for file in PUBLISHED.glob("*.json"):
        schema = json.loads(file.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["title"] == f"sparsebench {file.stem} --json"


def test_real_outputs_validate(cli: Cli, folder: Path) -> None:
    with (folder / "tiny.toml").open("a") as suite:
        suite.write(CLAIMS)
    for words in (["plan", "tiny.toml"], ["doctor"], ["run", "tiny.toml", "--no-plan"]):
        done = cli(*words, "--json")
        assert done.code == 0, done.err
        validate(words[0], done.out)
    again = cli("run", "tiny.toml", "--no-plan", "--store", "again", "--seeds", "0:1", "--json")
    assert again.code == 0, again.err
    for words in (
        ["compare", "latest", "latest"],
        ["compare", "latest", "again", "--min-seeds", "2"],
        ["check", "latest"],
    ):
        done = cli(*words, "--json")
        assert done.code in (0, 4, 6), done.err
        assert validate(words[0], done.out)["exit_code"] == done.code
    assert cli("compare", "latest", "latest", "--format", "json").json["schema"] == 1


def test_other_outputs_do_not_validate() -> None:
    good = {"schema": 1, "run": "r", "claims": [], "counts": {}, "exit_code": 5}
    validate("check", json.dumps(good))
    for spoilt in ({"exit_code": 3}, {"counts": {"holds": None}}, {"more": 1}, {"claims": None}):
        with pytest.raises(jsonschema.ValidationError):
            validate("check", json.dumps({**good, **spoilt}))


def test_a_run_gives_numbers_as_data() -> None:
    records = [
        measured(cell_trial(seed=seed), measures={"epoch_seconds": value, "test_loss": None})
        for seed, value in enumerate([1.0, 2.0])
    ]
    (row,) = result_numbers(records)
    assert row["metrics"] == {"epoch_seconds": {"mean": 1.5, "sd": 0.5**0.5, "n": 2}}
    assert (row["seeds"], row["status"]) == ([0, 1], {"ok": 2})
    found = {"run": "r", "store": "s", "counts": {"ok": 2}, "reused": 0, "exit_code": 0}
    validate("run", json.dumps({**found, "cells": [row]}))
