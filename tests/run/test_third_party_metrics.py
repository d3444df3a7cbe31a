"""A metric of epochs from `--plugin FILE`, in frames, exports, claims, gates and reports."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command

import sparsebench

PLUGIN = Path(__file__).with_name("declaring.py")
SUITE = """
schema = 1
name = "declared"
[trial]
dataset = "wine"
model = { hidden = [8] }
backend = "scipy-csr"
trainer = "counting"
epochs = 3
threads = 1
[grid]
seed = [0, 1, 2, 3, 4]

[[claims]]
text = "few neurons die"
metric = "silent_neurons"
where = { trainer = "counting" }
value = 7
tolerance = 0
[[claims]]
text = "hardly any share"
metric = "silent_share"
where = { trainer = "counting" }
value = 0.5
std = 0.01
n = 5
tolerance = 0.01
"""


def in_a_process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """So that the plugin is never loaded where its metrics are read."""
    return subprocess.run(
        [sys.executable, "-m", "sparsebench", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store `base`, and one `head` in which twice as many neurons die; the plugin is gone."""
    place = tmp_path_factory.mktemp("declared")
    (place / "declared.toml").write_text(SUITE)
    file = place / "declaring.py"
    for store, factor in (("base", "number"), ("head", "number * 2")):
        file.write_text(PLUGIN.read_text().replace("self.dead * number", f"self.dead * {factor}"))
        words = ("run", "declared.toml", "--plugin", "declaring.py", "--store", store, "--no-plan")
        done = in_a_process(place, *words)
        assert done.returncode == 0, done.stderr
    file.unlink()
    return place


def exported(folder: Path, *words: str) -> list[dict[str, str]]:
    done = command(folder, "export", "base/", *words)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_the_manifest_keeps_what_was_declared_by_hook_and_by_component(folder: Path) -> None:
    run = sparsebench.load_run(folder / "base")
    kept = {one["name"]: one for one in run.stored.manifest["metrics"]}
    assert kept["silent_share"]["unit"] == "fraction"
    assert kept["silent_share"]["gate"] == {
        "threshold": 0.0, "floor": 0.05, "exact_floor": None, "action": "fail",
    }  # fmt: skip
    assert kept["silent_neurons"]["better"] == -1


def test_epochs_have_it_layer_by_layer(folder: Path) -> None:
    frame = sparsebench.load_run(folder / "base").epochs()
    last = frame.iloc[2]
    assert [last[f"silent_neurons{end}"] for end in ("", "_1", "_2")] == [7, 6, 1]
    assert last["silent_share"] == pytest.approx(0.07)
    first = exported(folder, "--epochs")[0]
    assert (first["silent_neurons"], first["silent_neurons_1"]) == ("3", "2")  # a count: no point
    assert first["never_declared"] == "0.5"


def test_the_record_has_the_latest_value_as_a_column(folder: Path) -> None:
    row = exported(folder)[4]
    assert (row["silent_neurons"], row["never_declared"]) == ("7", "1.5")
    assert float(row["silent_share"]) == pytest.approx(0.074)
    columns = list(row)
    assert columns.index("silent_neurons") > columns.index("oversubscribed")


def test_claims_are_judged_as_declared(folder: Path) -> None:
    done = command(folder, "check", "base/", "--json")
    verdicts = {one["metric"]: one["verdict"] for one in json.loads(done.stdout)["claims"]}
    assert verdicts == {"silent_neurons": "holds", "silent_share": "holds"}  # less is better
    worse = command(folder, "check", "head/")
    assert worse.returncode == 4  # 13 neurons, counted exactly
    assert "FAILS: few neurons die" in worse.stdout


def test_a_claim_about_an_unknown_metric_names_the_nearest(folder: Path) -> None:
    suite = SUITE.replace('metric = "silent_neurons"', 'metric = "silent_neuron"')
    (folder / "misspelt.toml").write_text(suite)
    (folder / "again.py").write_text(PLUGIN.read_text())
    done = in_a_process(folder, "validate", "misspelt.toml", "--plugin", "again.py")
    assert done.returncode == 2
    assert "claims[0].metric: unknown metric 'silent_neuron'. Did you mean 'silent_neurons'" in (
        done.stderr
    )


def test_a_gate_of_the_command_line_and_the_declared_default(folder: Path) -> None:
    words = ("compare", "base/", "head/", "--json")
    plain = json.loads(command(folder, *words).stdout)
    gates = {one["metric"]: one for one in plain["gates"]}
    assert gates["silent_share"]["floor"] == 0.05
    found = {one["metric"]: one for one in plain["findings"]}
    assert found["silent_share"]["verdict"] == "worse"  # 6 points more, and 5 may be
    assert "silent_neurons" not in found
    done = command(folder, *words, "--fail-if", "silent_share:+7 points")
    assert done.returncode == 0
    done = command(folder, *words, "--fail-if", "silent_neurons:exact")
    found = {one["metric"]: one for one in json.loads(done.stdout)["findings"]}
    assert (done.returncode, found["silent_neurons"]["verdict"]) == (3, "worse")
    wider = ("--fail-if", "silent_share:+50 points", "--fail-if", "never_declared:+50%")
    assert command(folder, *words, *wider).returncode == 0
    done = command(folder, *words, "--fail-if", "silent_neuron:exact")
    assert "Did you mean 'silent_neurons'" in done.stderr


def test_reports_show_it_in_its_unit(folder: Path) -> None:
    text = command(folder, "report", "base/").stdout
    part = text.partition("## Other metrics")[2].partition("\n## ")[0]
    assert "| dense | scipy-csr | silent share | 7.20 ± 0.16 % | 5 |" in part
    assert "| dense | scipy-csr | silent neurons | 7 | 5 |" in part
    assert "never_declared | 1.500 | 5 |" in part
    page = command(folder, "report", "base/", "--format", "html", "-o", "page.html")
    assert page.returncode == 0, page.stderr
    assert "silent neurons" in (folder / "page.html").read_text()


def test_a_fit_and_a_tracker_take_it(folder: Path) -> None:
    done = command(folder, "fit", "base/", "--y", "silent_neurons", "--json")
    assert json.loads(done.stdout)[0]["y"] == "silent_neurons"
    done = command(folder, "export", "base/", "--format", "github-action-benchmark")
    rows = {one["name"].split()[-1]: one for one in json.loads(done.stdout)}
    assert rows["silent_share"]["unit"] == "share"
    assert "silent_neurons" not in rows  # not tracked


def test_a_baseline_keeps_it(folder: Path) -> None:
    done = command(folder, "baseline", "set", "base/", "kept", "--store", "base")
    assert done.returncode == 0, done.stderr
    done = command(
        folder, "compare", "kept", "head/", "--store", "base", "--fail-if", "silent_neurons:exact"
    )
    assert done.returncode == 3, done.stderr
