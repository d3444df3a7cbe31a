"""A suite on a csr file from `run` to a trained network that predicts.

That `numba-csr` trains the same is tested in its own process, where it compiles once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cli_words import Cli
from scipy import sparse

import sparsebench
from sparsebench.store.store import Store

SUITE = """
schema = 1
name = "words"

[trial]
dataset = { name = "file", path = "words.npz" }
model = { hidden = [12], activation = "relu" }
topology = { name = "set", epsilon = 3, update_every = 3 }
optimizer = { name = "sgd", learning_rate = 0.1, momentum = 0.9, weight_decay = 0.001 }
scaling = "none"
epochs = 3
batch_size = 20
threads = 1
keep_model = true

[grid]
backend = ["scipy-csr", "dense-mask"]
"""


def test_a_run_on_a_csr_file(cli: Cli, folder: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=90)
    dense = rng.random((90, 40)) < np.where(labels[:, None] > 0, 0.05, 0.3)
    X = sparse.csr_matrix(dense.astype(np.uint8))
    np.savez(
        folder / "words.npz",
        **{"X.indptr": X.indptr, "X.indices": X.indices, "X.data": X.data, "X.shape": X.shape},
        y=labels,
    )
    (folder / "words.toml").write_text(SUITE)
    done = cli("run", "words.toml", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"ok": 2}
    records = Store(folder / ".sparsebench").run(done.json["run"]).records
    inputs = {one.trial.backend["name"]: one.settings["inputs"] for one in records}
    assert inputs == {
        "scipy-csr": "csr",
        "dense-mask": "csr, each batch made dense",
    }
    losses = [one.measures["train_loss"] for one in records]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)

    trial = next(one.trial.id for one in records if one.trial.backend["name"] == "scipy-csr")
    assert cli("export-model", trial, "-o", "model.npz").code == 0
    net = sparsebench.load_model(folder / "model.npz")
    np.testing.assert_allclose(net.outputs(X), net.outputs(X.toarray()), atol=1e-5)
    assert (net.predict(X) == net.predict(X.toarray())).all()
    assert (net.predict(X) == labels).mean() > 0.7
