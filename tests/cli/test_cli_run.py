"""`run` and what reads its records, with real trials on data that ships with a dependency."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_words import Cli

FAILING = '''
from dataclasses import dataclass

from sparsebench import Needs, hookimpl


@dataclass(frozen=True)
class Failing:
    """Fails as soon as it is called."""

    needs = Needs()
    replaces_step = False

    def due(self, step):
        raise ArithmeticError("by design")

    connections = layer_updates = due


@hookimpl
def register_topologies(register):
    register("failing", Failing)
'''


def test_a_run_its_reuse_and_what_reads_it(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = folder / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = cli("run", "tiny.toml", "--quick", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"ok": 2}
    assert done.json["store"] == str(folder / ".sparsebench")
    assert "[2/2] topology=set seed=0: ok, accuracy" in done.err
    still = "in 1 of 2 trials the topology (set) was never updated"
    assert still in done.err
    assert "| topology | status |" in summary.read_text()

    again = cli("run", "tiny.toml", "--quick")
    assert again.code == 0
    assert again.out.splitlines()[0].split() == [
        "topology", "status", "accuracy", "seconds", "net", "peak", "MiB",
    ]  # fmt: skip
    assert "2 records, 2 of them reused" in again.err
    assert still in again.err
    assert "next: sparsebench report " in again.err

    run = done.json["run"]
    assert len(cli("ls", "runs", "--json").json) == 2
    assert cli("show", run, "--json").json["run"] == run
    shown = cli("show", "latest").out
    assert "\ndense     1 ok" in shown
    for fact in ("state +over: 2 of 2 trials ended", "optimizer.learning_rate +0.01"):
        assert re.search(f"\n{fact}\n", shown)
    assert cli("ls", "runs", "--json").json[0]["status"] == "2 ok"
    status = cli("status", run, "--json").json
    assert (status["over"], status["ended"], status["trials"]) == (True, 2, 2)
    assert "2 of 2 trials ended\n2 ok\n" in cli("status").out
    assert cli("status", run, "--format", "md").out.splitlines() == [
        "| run | state | over | trials | ended | counts |", "|---|---|---|---|---|---|",
        f"| {run} | over | True | 2 | 2 | 2 ok |",
    ]  # fmt: skip
    trial = cli("plan", "tiny.toml", "--quick", "--json").json["trials"][0]["id"]
    shown = cli("show", trial).out
    for fact in ("test_accuracy", "setting flush_to_zero_in main", "setting blas 0 num_threads",
                 "optimizer.learning_rate"):  # fmt: skip
        assert fact in shown
    assert re.search(r"\nnet_peak_bytes +\S+ [KM]iB\n", shown)
    assert re.search(r"\nwall_seconds +\S+ m?s\n", shown)
    assert cli("show", "dense seed=0").out == shown
    assert cli("show", trial, "--json").json[0]["status"] == "ok"
    done = cli("logs", trial)
    assert (done.code, done.out) == (0, "")
    assert "== stderr.log of attempt 1 (empty)" in done.err
    for attempt in ("0", "7"):
        done = cli("logs", trial, "--attempt", attempt)
        assert done.code == 5
        assert done.err == f"error: no attempt {attempt} at trial {trial}. Known: 1\n"
    assert cli("logs", "0123456789").code == 5


def test_a_failed_trial_ends_in_1_and_an_expected_failure_in_0(cli: Cli, folder: Path) -> None:
    (folder / "failing.py").write_text(FAILING)
    suite = (folder / "tiny.toml").read_text()
    suite = suite.replace("[trial]", "plugins = ['failing.py']\n[trial]", 1)
    suite = suite.replace("[quick]", "[quick]\ntopology = ['failing']")
    (folder / "failing.toml").write_text(suite)
    done = cli("run", "failing.toml", "--quick", "--json")
    assert done.code == 1, done.err
    assert done.json["counts"] == {"error": 1}
    (trial,) = cli("plan", "failing.toml", "--quick", "--json").json["trials"]
    shown = cli("show", trial["id"]).out
    assert "by design" in shown
    expecting = suite.replace("['dense',", "['failing', 'dense',") + (
        "[[expect]]\nwhere = { topology = 'failing' }\nstatus = 'error'\n"
    )
    (folder / "failing.toml").write_text(expecting)
    again = cli("run", "failing.toml", "--quick")
    assert again.code == 0
    assert ": 1 error; 1 failed before: --rerun failed runs them again\n" in again.err


def test_a_summary_page_that_cannot_be_written_is_a_note(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder))
    note = f"note: cannot write GITHUB_STEP_SUMMARY {folder}: Is a directory\n"
    done = cli("run", "tiny.toml", "--quick", "-k", "dense", "--json")
    assert (done.code, done.json["counts"]) == (0, {"ok": 1})
    assert done.err.endswith(note)
    report = cli("report", "latest", "-o", "out/index.md")
    assert (report.code, report.err) == (0, note)


def test_plan_tells_what_would_be_reused(cli: Cli, folder: Path) -> None:
    def notes(*words: str) -> list[str]:
        return [trial["note"] for trial in cli(*words, "--json").json["trials"]]

    plan = ("plan", "tiny.toml", "--quick")
    assert notes(*plan) == ["", ""]
    assert not (folder / ".sparsebench").exists()
    assert cli("run", "tiny.toml", "--quick", "-k", "dense").code == 0
    assert notes(*plan) == ["reused (ok)", ""]
    assert cli(*plan).err.startswith("2 trials of tiny, 1 reused; the largest needs at least ")
    assert notes(*plan, "--store", "elsewhere") == ["", ""]
    dry = ("run", "tiny.toml", "--quick", "--dry-run")
    assert notes(*dry) == ["reused (ok)", ""]
    assert notes(*dry, "--rerun", "all") == ["", ""]

    (outcome,) = (folder / ".sparsebench").glob("trials/*/*/1/outcome.json")
    record = json.loads(outcome.read_text())
    record["fingerprint"]["code"] = "another"
    outcome.write_text(json.dumps(record))
    assert notes(*plan) == ["stale", ""]
    assert cli(*plan).err.startswith("2 trials of tiny, 1 stale; the largest needs at least ")
    assert notes(*dry, "--reuse-stale") == ["reused (ok)", ""]
    outcome.write_text(json.dumps(record | {"status": "interrupted"}))
    assert notes(*plan) == ["", ""]


def test_nothing_that_can_run_ends_in_5(cli: Cli, folder: Path) -> None:
    with (folder / "tiny.toml").open("a") as file:
        file.write("[sources.rare]\nnote = 'ask its authors'\n")
    done = cli("run", "tiny.toml", "--set", "dataset=rare", "--json")
    assert done.code == 5
    assert done.json["counts"] == {"skipped": 4}
    assert cli("prepare", "tiny.toml", "--set", "dataset=rare").code == 5


def test_prepare(cli: Cli) -> None:
    done = cli("prepare", "tiny.toml", "--json")
    assert done.code == 0
    assert {"what": "data wine", "state": "ok", "detail": ""} in done.json


def test_new_plugin_and_suite_work_as_they_are(cli: Cli, folder: Path) -> None:
    assert cli("new", "plugin", "my-method").code == 0
    assert cli("new", "suite", "mine").code == 0
    assert cli("new", "plugin", "my-method").code == 2
    for name in ("2", "../x", "a b", ""):
        assert cli("new", "plugin", name).code == 2
    assert cli("new", "plugin", "class").code == 2
    assert cli("validate", "mine.toml").code == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_method.py"],
        capture_output=True, text=True, timeout=120, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    done_run = cli(
        "run", "tiny.toml", "--plugin", "my_method.py", "--set", "topology=my-method",
        "--seeds", "0", "--json",
    )  # fmt: skip
    assert done_run.code == 0, done_run.err


BIG = ("--set", "model.hidden=[60000]", "--set", "backend=dense-mask", "--memory-limit", "1MiB")


def test_what_cannot_fit_is_not_started(cli: Cli, folder: Path) -> None:
    note = "refused: needs at least"
    planned = cli("plan", "tiny.toml", "-k", "topology=dense and seed=0", *BIG, "--json").json[
        "trials"
    ]
    assert planned[0]["note"].startswith(note)
    assert planned[0]["least_bytes"] > 2**20
    done = cli("run", "tiny.toml", "-k", "topology=dense and seed=0", *BIG, "--json")
    assert (done.code, done.json["counts"]) == (5, {"skipped": 1})
    (record,) = cli("show", planned[0]["id"], "--json").json
    assert (record["status"], record["cause"]) == ("skipped", "memory limit")
    assert record["detail"].startswith(note.removeprefix("refused: "))
    assert "--no-plan" in record["detail"]
    with (folder / "tiny.toml").open("a") as file:
        file.write("[[expect]]\nwhere = { topology = 'dense' }\nstatus = 'out-of-memory'\n")
    (planned,) = cli("plan", "tiny.toml", "-k", "topology=dense and seed=0", *BIG, "--json").json[
        "trials"
    ]
    assert planned["note"] == "expected: out-of-memory"


def test_plan_predicts_bytes_and_with_measure_seconds(cli: Cli) -> None:
    (row,) = cli("plan", "tiny.toml", "-k", "dense and seed=0", "--json").json["trials"]
    assert row["least_bytes"] > 0
    assert (row["predicted_epoch_seconds"], row["predicted_seconds"]) == (None, None)
    plain = cli("plan", "tiny.toml", "-k", "dense and seed=0", "--format", "md").out
    assert plain.startswith("| trial | topology | seed | memory from | epoch | total time |")
    (row,) = cli("plan", "tiny.toml", "-k", "dense and seed=0", "--measure", "--json").json[
        "trials"
    ]
    assert row["predicted_seconds"] == pytest.approx(2 * row["predicted_epoch_seconds"])
    unknown = cli("plan", "tiny.toml", "--set", "backend=mkl-csr", "-k", "dense and seed=0")
    assert "unknown" in unknown.out or "not installed" in unknown.out
    Path("own.csv").write_text("a,b\n1,x\n2,y\n")
    own = cli("plan", "tiny.toml", "--set", 'dataset={ name = "file", path = "own.csv" }')
    assert "memory is unknown where no size is declared: dataset file\n" in own.err


def test_a_run_keeps_what_was_predicted(cli: Cli) -> None:
    assert cli("run", "tiny.toml", "--quick", "-k", "dense").code == 0
    (row,) = json.loads(cli("export", "latest", "--format", "json").out)
    assert 0 < row["least_bytes"] < row["net_peak_bytes"]
    assert row["predicted_epoch_seconds"] is None  # too small to be worth timing
    assert (
        cli("run", "tiny.toml", "--quick", "-k", "dense", "--rerun", "all", "--no-plan").code == 0
    )
    (row,) = json.loads(cli("export", "latest", "--format", "json").out)
    assert row["least_bytes"] is None
