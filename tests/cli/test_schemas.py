"""Real outputs of `--json` are as published in docs/schemas/."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from cli_words import PUBLISHED, Cli, validate

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
