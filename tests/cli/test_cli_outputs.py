"""`sparsebench run` where its outputs go away, and where its host is to be named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli_words import Cli

RUN = [sys.executable, "-m", "sparsebench", "run", "tiny.toml", "--quick"]


def test_run_names_its_host_only_if_asked(cli: Cli, folder: Path) -> None:
    assert cli("run", "tiny.toml", "--quick", "--identify").code == 0
    (manifest,) = folder.glob(".sparsebench/runs/*/manifest.json")
    assert set(json.loads(manifest.read_text())["identity"]) >= {"host"}


def statuses(folder: Path) -> list[str]:
    """Of every attempt that was begun: a KeyError for one without an outcome."""
    found = {}
    for spec in folder.glob(".sparsebench/trials/*/*/*/spec.json"):
        outcome = spec.with_name("outcome.json")
        found[spec] = json.loads(outcome.read_text() if outcome.exists() else "{}")
    return [record["status"] for record in found.values()]


def test_a_reader_of_stdout_that_goes_away_loses_no_record(folder: Path) -> None:
    """As in `sparsebench run ... | head -1`, where head is gone before anything is printed."""
    running = subprocess.Popen(RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    with running.stderr as pipe:
        output = pipe.read().decode()
    running.wait()
    assert statuses(folder) == ["ok", "ok"], output
    assert "Traceback" not in output


def test_a_reader_of_stderr_that_goes_away_loses_no_record_that_was_there(folder: Path) -> None:
    running = subprocess.Popen(RUN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith(b"[1/2]") and b": ok" in line:
            break
    running.stdout.close()
    running.wait()
    assert "ok" in statuses(folder)
