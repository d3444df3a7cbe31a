from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_words import Cli, Done
from commands import command

from sparsebench.cli import main

SUITE = """
schema = 1
name = "tiny"
title = "A tiny suite"

[trial]
dataset = "wine"
model = { hidden = [8], activation = "relu" }
topology = { name = "set", epsilon = 3 }
backend = "scipy-csr"
epochs = 2
batch_size = 32
threads = 1

[grid]
topology = ["dense", { name = "set", epsilon = 3 }]
seed = [0, 1]

[quick]
epochs = 1
seed = [0]
"""


@pytest.fixture
def folder(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: empty but for tiny.toml. No environment, no user config."""
    names = ("STORE", "DATA", "JOBS", "EXECUTOR", "ADDRESS", "THREADS", "TIMEOUT", "MEMORY_LIMIT")
    for name in names:
        monkeypatch.setenv(f"SPARSEBENCH_{name}", "x")  # so that it is restored afterwards
        monkeypatch.delenv(f"SPARSEBENCH_{name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "tiny.toml").write_text(SUITE)
    return work


@pytest.fixture(scope="session")
def store_of_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run of tiny.toml, made once; nobody writes to it."""
    work = tmp_path_factory.mktemp("tiny")
    (work / "tiny.toml").write_text(SUITE)
    done = command(work, "run", "tiny.toml", "--no-plan")
    assert done.returncode == 0, done.stderr
    return work / ".sparsebench"


@pytest.fixture
def ran(folder: Path, store_of_tiny: Path) -> Path:
    """A folder where `sparsebench run tiny.toml --no-plan` has run."""
    shutil.copytree(store_of_tiny, folder / ".sparsebench")
    return folder


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""

    def run(*words: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run
