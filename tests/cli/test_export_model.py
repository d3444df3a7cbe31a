"""`export-model` on trials that ran, did not end, or kept no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_words import Cli
from scipy.sparse import csr_matrix

import sparsebench
from sparsebench.store.store import Store


def ran(folder: Path, cli: Cli, *more: str) -> str:
    done = cli("run", "tiny.toml", "--seeds", "0", "-k", "set", "--no-plan", "--no-audit", *more)
    assert done.code == 0, done.err
    (trial,) = Store(folder / ".sparsebench").trial_ids()
    return trial


def test_the_network_of_a_trial(folder: Path, cli: Cli) -> None:
    trial = ran(folder, cli, "--set", "epochs=30", "--set", "optimizer.learning_rate=0.05")
    done = cli("export-model", trial[:6], "-o", "out/model.npz")
    assert done.code == 0, done.err
    m = np.load("out/model.npz")
    W1 = csr_matrix((m["W1.data"], m["W1.indices"], m["W1.indptr"]), m["W1.shape"])
    assert W1.shape == (8, 13)
    record = Store(folder / ".sparsebench").records(trial)[-1]
    assert W1.nnz == record.layers[0]["connections"]
    net = sparsebench.load_model("out/model.npz")
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    assert (net.predict(X) == y).mean() > 0.85
    assert [W.shape for W in net.weights] == [(8, 13), (3, 8)]


def test_what_it_cannot_do_is_one_line(folder: Path, cli: Cli) -> None:
    trial = ran(folder, cli, "--set", "keep_model=false")
    done = cli("export-model", trial, "-o", "model.npz")
    assert done.code == 5
    assert "--set keep_model=true" in done.err
    assert not Path("model.npz").exists()
    again = cli("run", "tiny.toml", "--seeds", "0", "-k", "set", "--no-plan", "--no-audit",
                "--set", "keep_model=true", "--json")  # fmt: skip
    assert '"reused": 0' in again.out
    assert cli("export-model", trial, "-o", "model.npz").code == 0
    assert '"reused": 1' in cli(
        "run", "tiny.toml", "--seeds", "0", "-k", "set", "--no-plan", "--set", "keep_model=true",
        "--json",
    ).out  # fmt: skip
    assert cli("export-model", "f" * 16, "-o", "model.npz").code == 5
    blocked = cli("export-model", trial, "-o", "tiny.toml/model.npz")
    assert blocked.code == 2
    assert "cannot write" in blocked.err


def test_a_trial_that_did_not_end_well_has_none(folder: Path, cli: Cli) -> None:
    cli("run", "tiny.toml", "--seeds", "0", "-k", "set", "--no-plan", "--no-audit",
        "--set", "optimizer.learning_rate=1e30")  # fmt: skip
    (trial,) = Store(folder / ".sparsebench").trial_ids()
    done = cli("export-model", trial, "-o", "model.npz")
    assert done.code == 5
    assert "ended diverged: there is no trained network" in done.err
