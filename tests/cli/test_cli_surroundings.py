"""Command lines in scripts, containers and pipes: empty words, no home folder, closed outputs."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from cli_words import Cli


@pytest.mark.parametrize(
    "words",
    [
        ["report", ""],
        ["compare", "", "latest"],
        ["run", " "],
        ["plan", "tiny.toml", "--store", ""],
        ["plan", "tiny.toml", "--store="],
        ["plan", "tiny.toml", "-k", ""],
        ["export", "latest", "-o", ""],
    ],
    ids=" ".join,
)
def test_an_empty_word_is_a_mistake(cli: Cli, folder: Path, words: list[str]) -> None:
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: found an empty word at '")
    assert done.err.count("\n") == 1


def test_an_empty_variable_is_an_unset_one(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned() -> object:
        return cli("plan", "tiny.toml", "--json").json

    before = planned()
    for name in ("STORE", "DATA", "JOBS", "EXECUTOR", "ADDRESS", "THREADS", "TIMEOUT",
                 "MEMORY_LIMIT", "CACHE"):  # fmt: skip
        monkeypatch.setenv(f"SPARSEBENCH_{name}", "")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    assert planned() == before
    assert "no run 'latest' in .sparsebench." in cli("status").err


@pytest.mark.parametrize("base", ["main", "0" * 40, "baselines/main.json"])
def test_a_first_run_has_no_base(cli: Cli, base: str) -> None:
    """On a new branch the base of a push event is all zeros."""
    for words in (["compare", base, "latest"], ["ab", f"git:{base}", ".", "tiny.toml"],
                  ["baseline", "show", base]):  # fmt: skip
        done = cli(*words)
        assert done.code in (2, 5)
        assert done.err.count("\n") == 1


@pytest.fixture
def homeless(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs as a number: no HOME, and no entry in the password database."""

    def missing(uid: object) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "SPARSEBENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)
    monkeypatch.setattr(pwd, "getpwnam", missing)


VERBS = (
    ["plan", "tiny.toml"], ["run", "tiny.toml", "--dry-run"], ["validate", "tiny.toml"], ["ls"],
    ["ls", "datasets"], ["doctor"], ["data", "list"], ["prepare", "nothing"], ["status"],
    ["show", "latest"], ["report", "latest"], ["compare", "~/a", "~/b"], ["store", "verify"],
    ["baseline", "list"], ["ab", "~/env", ".", "tiny.toml"],
    ["export", "latest", "--store", "~/store"],
)  # fmt: skip


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_without_a_home_a_verb_works_or_names_the_variable(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    done = cli(*words)
    assert done.code in (0, 2, 5), done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("SPARSEBENCH_CACHE", "cache")
    with_cache = cli(*words)
    assert with_cache.code in (0, 2, 5), with_cache.err
    assert "SPARSEBENCH_CACHE" not in with_cache.err
    if done.code != with_cache.code:
        assert done.err == (
            "error: no cache folder: HOME is not set and this user has no home; "
            "set SPARSEBENCH_CACHE\n"
        )


def test_a_home_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").touch()
    names = ("SPARSEBENCH_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    bare = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench", "run", "tiny.toml", "--quick", "-k", "dense"],
        env=bare | {"HOME": str(folder / "file")}, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or (done.returncode == 2 and "SPARSEBENCH_CACHE" in done.stderr)


def test_a_reader_that_goes_away_is_no_complaint(folder: Path) -> None:
    listing = subprocess.Popen(
        [sys.executable, "-m", "sparsebench", "ls"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    with listing.stderr as errors:
        assert errors.read() == b""
    listing.wait()


def test_no_help_is_cut_in_the_middle_of_a_sentence(cli: Cli) -> None:
    for words in ([], ["baseline"], ["data"], ["store"], ["new"]):
        lines = cli(*words, "--help").out.splitlines()
        assert not [line for line in lines if line.startswith("  ") and line.endswith("...")]
