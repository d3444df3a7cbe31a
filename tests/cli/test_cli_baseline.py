"""`sparsebench baseline`, and comparing with one; `compare --format junit`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from cli_words import Cli, validate

from sparsebench.analysis.baseline import checksum


def test_from_a_run_to_a_verdict(cli: Cli, ran: Path) -> None:
    done = cli("baseline", "set", "latest", "main")
    (run,) = (ran / ".sparsebench/runs").iterdir()
    said = f".sparsebench/baselines/main.json: 4 trials of {run.name}\n"
    assert (done.code, done.out) == (0, said)
    listed = cli("baseline", "list", "--json").json
    assert listed == [
        {"name": "main", "suite": "tiny", "trials": 4, "run": run.name, "problem": ""}
    ]
    assert "\nset " in cli("baseline", "show", "main").out
    assert cli("baseline", "show", "main", "--json").json["run"] == run.name
    for words in (["main", "latest"], ["latest", "main"], ["main", "main"]):
        found = cli("compare", *words, "--json")
        assert found.code == 0, found.err
        assert validate("compare", found.out)["counts"]["same"] > 0
    assert cli("baseline", "rm", "main").code == 0
    assert cli("compare", "main", "latest").code == 2
    assert cli("baseline", "list", "--json").json == []


def test_a_file_of_ones_own(cli: Cli, ran: Path) -> None:
    done = cli("baseline", "set", "latest", "main", "-o", "ci/base.json")
    assert done.code == 0, done.err
    assert not (ran / ".sparsebench/baselines").exists()
    assert cli("compare", "ci/base.json", "latest").code == 0
    text = (ran / "ci/base.json").read_text()
    assert str(ran) not in text
    data = json.loads(text)
    worse = next(c for c in data["cells"] if c["words"]["topology"] == "dense")["trials"]
    for one in worse:
        one["measures"]["stored_bytes"] -= 1
    (ran / "ci/base.json").write_text(json.dumps(data))
    edited = cli("compare", "ci/base.json", "latest")
    assert edited.code == 2
    assert "ci/base.json cannot be read: its content is not that of its checksum" in edited.err
    (ran / "ci/base.json").write_text(json.dumps({**data, "checksum": checksum(data)}))
    found = cli("compare", "ci/base.json", "latest", "--format", "junit")
    assert found.code == 3
    root = ElementTree.fromstring(found.out)
    assert [one.get("type") for one in root.iter("failure")] == ["worse"]
    assert cli("baseline", "show", "ci/base.json").code == 0


def test_a_mistake_is_one_line(cli: Cli, ran: Path) -> None:
    assert cli("baseline", "set", "latest", "main").code == 0
    (ran / "odd.json").write_text('{"schema": 1}')
    for words, complaint in (
        (["baseline", "set", "latest", "a/b"], "expected letters, digits, ._- and not"),
        (["baseline", "set", "nix", "x"], "no run 'nix'"),
        (["baseline", "show", "man"], "Did you mean 'main'?"),
        (["baseline", "rm", "man"], "Did you mean 'main'?"),
        (["compare", "mian", "latest"], "no run and no baseline 'mian' in .sparsebench. Did you"),
        (["compare", "mian", "latest"], "Did you mean 'main'? Known: 2"),
        (["compare", "ci/x.json", "latest"], "ci/x.json is not there: expected a run's"),
        (["show", "main"], "no run and no trial 'main' in .sparsebench; see: sparsebench baseline"),
        (["show", "nix"], "no run and no trial 'nix' in .sparsebench; see: sparsebench ls runs"),
        (["compare", "odd.json", "latest"], "odd.json cannot be read: it is not a baseline"),
    ):
        done = cli(*words)
        assert done.code == 2
        assert complaint in done.err
        assert len(done.err.splitlines()) == 1
    (ran / ".sparsebench/baselines/bad.json").write_text("{}")
    rows = {row["name"]: row["problem"] for row in cli("baseline", "list", "--json").json}
    assert rows["main"] == ""
    assert "it is not a baseline" in rows["bad"]
