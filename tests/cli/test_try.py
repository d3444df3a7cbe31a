"""`sparsebench try`: the plan for a file, mistakes in a line, and a run from file to predictor."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_words import Cli

from sparsebench.discovery import load_plugins
from sparsebench.first_look import plan
from sparsebench.first_look.facts import Facts
from sparsebench.suite.expand import expand
from sparsebench.suite.suite import parse_suite

rng = np.random.default_rng(0)
GENES = [f"G{i}" for i in range(12)]


def table(path: Path, labels, samples: int = 30, missing: bool = False) -> None:
    """The labels follow from G3 and G7."""
    X = rng.standard_normal((samples, 12))
    y = [labels[int(one)] for one in (X[:, 3] + X[:, 7] > 0)] if len(labels) == 2 else labels
    rows = [[f"{value:.4f}" for value in row] for row in X]
    if missing:
        rows[0][0] = "NA"
    lines = [",".join([*GENES, "tissue"])]
    lines += [",".join([*row, str(label)]) for row, label in zip(rows, y)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("labels", "trials", "replicates"),
    [
        (["tumour", "normal"], 5 * (8 + 2 * 5), 15),
        ([f"{x:.3f}" for x in rng.standard_normal(300)], 5 * (8 + 5), 10),
        (range(40, 340), 5 * (8 + 5), 10),
    ],
    ids=["labels", "numbers", "whole numbers"],
)
def test_the_plan_is_a_suite(
    cli: Cli, folder: Path, labels: list[str], trials: int, replicates: int
) -> None:
    table(folder / "my.csv", list(labels), 300 if len(labels) > 2 else 60, missing=True)
    done = cli("try", "my.csv", "--target", "tissue", "--dry-run")
    suite, plugins = parse_suite(done.out), load_plugins()
    found = expand(suite, plugins, data_dir=folder)
    assert len(found) == trials
    assert found[0].dataset["missing"] == "mean"
    for claim in suite.claims:
        assert claim.against == plan.DENSE
    cells = {trial.cell: 0 for trial in found}
    for trial in found:
        cells[trial.cell] += 1
    assert set(cells.values()) == {5, replicates}


@pytest.mark.parametrize(
    ("samples", "features", "minutes", "width"),
    [(569, 30, 5, 128), (104, 22_283, 5, 64), (104, 22_283, 60, 512), (5_000, 10**6, 1, 32)],
)
def test_the_dense_network_can_be_trained_in_the_time(
    samples: int, features: int, minutes: float, width: int
) -> None:
    facts = Facts(samples, features, 2, 0.0, False, False, 0)
    assert plan.TrySuite({"path": "x"}, "x", facts, minutes).hidden == width


def test_a_file_with_a_test_part_has_seeds_for_folds(cli: Cli, folder: Path) -> None:
    X, y = rng.standard_normal((60, 4)), np.arange(60) % 2
    np.savez(folder / "my.npz", X_train=X, y_train=y, X_test=X[:9], y_test=y[:9])
    found = parse_suite(cli("try", "my.npz", "--dry-run").out)
    assert "fold" not in found.grid
    assert found.grid["seed"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("labels", "words", "message"),
    [
        (["a", "b"], ["--target", "tisue"], "no column 'tisue' for the labels"),
        (["a", "a"], [], "has one class, a, in all 30 samples"),
        ([f"s{i}" for i in range(30)], [], "has 30 classes in 30 samples"),
        (["a", "b"] * 4, [], "has 8 samples; expected at least 10"),
        (["a", "b"], ["-o", "report.pdf"], "the ending decides the format"),
    ],
)
def test_a_mistake_is_one_line(
    cli: Cli, folder: Path, labels: list[str], words: list[str], message: str
) -> None:
    table(folder / "my.csv", list(labels), min(30, len(labels) if len(labels) > 2 else 30))
    done = cli("try", "my.csv", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert "not a file" in cli("try", "another.csv").err


@pytest.mark.minutes
def test_from_a_file_to_named_genes_and_a_predictor(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(look: plan.TrySuite) -> list[dict[str, object]]:
        sparse = {"topology": {"name": "set", "density": 0.5}, "trainer": "sequential"}
        return [
            plan.DENSE, {**sparse, "backend": "scipy-csr"},
            {**plan.DENSE, "trainer": "logistic-regression"},
        ]  # fmt: skip

    monkeypatch.setattr(plan, "FOLDS", 2)
    monkeypatch.setattr(plan, "REPEATED", ())
    monkeypatch.setattr(plan, "SPARSE", {"trainer": "sequential", "backend": "scipy-csr"})
    monkeypatch.setattr(plan.TrySuite, "densities", (0.5,))
    monkeypatch.setattr(plan.TrySuite, "hidden", 8)
    monkeypatch.setattr(plan.TrySuite, "cases", few)
    table(folder / "genes.csv", ["tumour", "normal"], 120)

    done = cli("try", "genes.csv", "--target", "tissue", "--minutes", "3")
    assert done.code == 0, done.err
    assert done.out.startswith("Cannot tell within a margin of 2 points")
    assert "Without a network: logistic-regression" in done.out
    assert "Of 12 inputs it relies most on G" in done.out
    page = (folder / "genes-report.html").read_text()
    assert "Inputs that matter" in page
    assert "no network" in page

    assert cli("inputs", "latest", "--top", "5", "-o", "top.csv").code == 0
    rows = list(csv.DictReader((folder / "top.csv").read_text().splitlines()))
    assert len(rows) == 5
    assert {"G3", "G7"} <= {row["input"] for row in rows}

    assert cli("export-model", "latest", "-o", "predictor.py").code == 0
    first = (folder / "genes.csv").read_text().splitlines()[1]
    predicted = subprocess.run(
        [sys.executable, "predictor.py"], input=first.rpartition(",")[0] + "\n",
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert predicted.stdout.strip() in ("tumour", "normal"), predicted.stderr
