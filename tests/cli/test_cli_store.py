"""store verify, rebuild, migrate and merge, as people call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_words import Cli

GOLDEN = Path(__file__).parents[1] / "store" / "golden"


@pytest.fixture
def store(folder: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "store_1", folder / ".sparsebench"))


def test_a_whole_store_is_0_and_a_damaged_one_is_2(cli: Cli, store: Path) -> None:
    done = cli("store", "verify", "--json")
    assert done.code == 0
    assert done.json["checked"] == {
        "trials": 3, "attempts": 3, "records": 2, "runs": 2, "files": 20
    }  # fmt: skip
    assert {finding["severity"] for finding in done.json["findings"]} == {"note"}
    file = next(store.glob("trials/*/*/*/outcome.json"))
    file.write_text("{")
    done = cli("store", "verify", "--format", "md")
    assert done.code == 2
    assert "| damage | trials/" in done.out
    [line] = done.err.splitlines()
    assert line.startswith(f"error: {file.relative_to(Path.cwd())}: cannot be read")
    assert "restore it from a copy" in line


def test_a_damaged_record_is_named_by_every_verb(cli: Cli, ran: Path) -> None:
    assert cli("baseline", "set", "latest", "main").code == 0
    file = next(ran.glob(".sparsebench/trials/*/*/1/outcome.json"))
    file.write_text(file.read_text()[:99])
    name = str(file.relative_to(ran))
    for words in (["ls", "runs"], ["status"], ["show", "latest"]):
        done = cli(*words)
        assert "3 ok, 1 damaged" in done.out or "1 damaged, 3 ok" in done.out
        assert f"note: {name} cannot be read: " in done.err
        assert "see: sparsebench store verify" in done.err
    compared = cli("compare", "main", "latest")
    assert "1 damaged" in compared.out
    assert "HEAD: 1 record damaged, as if not run: " in " ".join(compared.out.split())
    assert name in "".join(compared.out.split())
    done = cli("run", "tiny.toml", "--no-plan")
    assert (done.code, "4 records, 3 of them reused" in done.err + done.out) == (0, True)
    assert f"runs anew, as its record is damaged: {name} cannot be read" in done.err


def test_a_damaged_manifest_hides_no_other_run(cli: Cli, store: Path) -> None:
    first, second = sorted((store / "runs").iterdir())
    (first / "manifest.json").write_text("{")
    done = cli("ls", "runs", "--json")
    assert done.code == 0
    damaged, whole = done.json
    assert (damaged["run"], damaged["status"], damaged["trials"]) == (first.name, "damaged", None)
    assert "manifest.json cannot be read" in damaged["problem"]
    assert (whole["run"], whole["problem"]) == (second.name, "")
    done = cli("ls", "runs")
    assert first.name in done.out
    assert second.name in done.out
    assert "manifest.json cannot be read" in done.err
    assert "see: sparsebench store verify" in done.err


def test_a_run_of_a_newer_version_hides_no_other_and_is_not_damaged(cli: Cli, ran: Path) -> None:
    file = next(ran.glob(".sparsebench/trials/*/*/1/outcome.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    (row,) = cli("ls", "runs", "--json").json
    assert row["status"] == "not readable"
    assert "install a newer one" in row["problem"]


def test_migrate_says_how_many(cli: Cli, store: Path) -> None:
    done = cli("store", "migrate", "--json")
    assert done.code == 0
    assert (done.json["records"], done.json["current"], done.json["schema"]) == (2, 0, 2)
    assert cli("store", "migrate", "--json").json["records"] == 0
    assert json.loads((store / "store.json").read_text()) == {"schema": 2}


def test_rebuild_says_how_many(cli: Cli, store: Path) -> None:
    (store / f"store.json.{2**22 + 1}.tmp").touch()
    assert cli("store", "rebuild", "--json").json["removed"] == 1
    assert cli("store", "rebuild", "--json").json["removed"] == 0


def test_merge_says_how_much(cli: Cli, store: Path) -> None:
    done = cli("merge", str(store), "--store", "all", "--json")
    assert done.code == 0
    assert done.json == {
        "store": "all", "attempts": 3, "attempts_there": 0, "runs": 2, "runs_there": 0
    }  # fmt: skip
    assert cli("merge", str(store), "--store", "all", "--json").json["runs_there"] == 2
    assert cli("report", "latest", "--store", "all", "-o", "report.md").code == 0


@pytest.mark.parametrize("verb", ["verify", "rebuild", "migrate"])
def test_no_store_is_5(cli: Cli, verb: str) -> None:
    done = cli("store", verb)
    assert (done.code, done.err) == (5, "error: there is no store in .sparsebench\n")


def test_a_store_from_the_future_is_one_line(cli: Cli, store: Path) -> None:
    (store / "store.json").write_text('{"schema": 99}')
    for words in (("store", "verify"), ("ls", "runs"), ("merge", str(store), "--store", "b")):
        done = cli(*words)
        assert done.code == 2
        assert "install a newer one" in done.err
        assert len(done.err.splitlines()) == 1
