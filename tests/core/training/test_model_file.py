"""The trained network as a file: plain csr for anybody, a network again for us."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import Blobs, prepare, small_work

import sparsebench
from sparsebench.core.data.prepare import TrialData
from sparsebench.core.data.samples import Parts
from sparsebench.core.sparse.csr import Change
from sparsebench.core.training.loop import train
from sparsebench.core.training.model_file import SMALL, keep_model, model_bytes
from sparsebench.core.training.steps import evaluate
from sparsebench.core.trial import Trial
from sparsebench.errors import DataError


def digits() -> TrialData:
    blobs = Blobs(300, 20, 4, 1)
    names = np.array(["ant", "bee", "cat", "dog"])
    return prepare(Parts(3 * blobs.X + 7, names[blobs.targets]), seed=0)


def trained(build, plugins, activation="all-relu", **more):
    model = {"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.2}
    parts = {
        "model": model,
        "backend": "numba-csr",
        "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "topology": {"name": "set", "epsilon": 6},
    }
    data = digits()
    result = train(small_work(build, data=data, **parts))
    trial = Trial(
        **{kind: plugins.validate(kind, given, kind) for kind, given in parts.items()},
        dataset={"name": "digits"},
        trainer={"name": "sequential"},
        epochs=4,
        batch_size=32,
        threads=1,
        seed=0,
        **more,
    )
    return trial, data, result.network


@pytest.mark.parametrize("activation", ["all-relu", "srelu", "tanh"])
@pytest.mark.parametrize("backend", [None, "scipy-csr", "dense-mask"])
def test_a_loaded_model_predicts_as_it_did(build, plugins, tmp_path, activation, backend):
    trial, data, network = trained(build, plugins, activation)
    file = tmp_path / "model.npz"
    assert keep_model(file, trial, data, network)
    net = sparsebench.load_model(file, backend=backend)
    _, scores = evaluate(network, data.test, data.targets, 32)
    raw = data.test.samples.X[data.test.samples.rows]
    right = net.predict(raw) == data.targets.names[data.test.targets]
    assert right.mean() == pytest.approx(scores["accuracy"], abs=1.5 / right.size)
    Z = network.outputs(data.test.batch(np.arange(10))[0])
    assert np.allclose(net.outputs(raw[:10]), Z.T, atol=1e-4)
    assert net.facts["trial"] == trial.id


@pytest.mark.parametrize("activation", ["all-relu", "srelu"])
def test_a_compact_model_predicts_the_same_with_fewer_neurons(build, plugins, tmp_path, activation):
    trial, data, network = trained(build, plugins, activation)
    for layer, gone in zip(network.layers, ([3, 7], [5]), strict=False):
        cut = np.isin(np.arange(layer.shape[0]), gone)
        layer.apply_change(Change.drop(layer.weights().pattern.outside(cut, None)))
    keep_model(tmp_path / "model.npz", trial, data, network)
    whole, small = (
        sparsebench.load_model(tmp_path / "model.npz", backend="scipy-csr", compact=compact)
        for compact in (False, True)
    )
    assert [W.shape for W in small.weights] == [(38, 20), (29, 38), (4, 29)]
    raw = data.test.samples.X[data.test.samples.rows]
    np.testing.assert_allclose(small.outputs(raw), whole.outputs(raw), atol=1e-4)


def test_three_lines_of_scipy(build, plugins, tmp_path):
    trial, data, network = trained(build, plugins)
    keep_model(tmp_path / "model.npz", trial, data, network)
    from scipy.sparse import csr_matrix

    m = np.load(tmp_path / "model.npz")
    W1 = csr_matrix((m["W1.data"], m["W1.indices"], m["W1.indptr"]), shape=m["W1.shape"])
    b1 = m["b1"]
    kept = network.layers[0].weights()
    assert W1.shape == (40, 20)
    assert np.array_equal(W1.indices, kept.indices)
    x = (data.test.samples.X[:5] - m["mean"]) * m["scale"]
    Z = np.empty((40, 5), np.float32)
    network.layers[0].forward(np.ascontiguousarray(x.T, dtype=np.float32), Z)
    assert np.allclose(W1 @ x.T + b1[:, None], Z, atol=1e-4)
    assert list(m["names"]) == ["ant", "bee", "cat", "dog"]


def test_what_is_kept_unasked(build, plugins, tmp_path):
    trial, data, network = trained(build, plugins)
    file = tmp_path / "model.npz"
    assert model_bytes(network) < SMALL
    assert not keep_model(file, replace(trial, keep_model=False), data, network)
    assert not file.exists()
    assert keep_model(file, trial, data, network)

    class Large:
        layers = (type("Layer", (), {"nnz": SMALL // 8, "shape": (1, 1)}),)

    assert model_bytes(Large()) > SMALL
    assert not keep_model(tmp_path / "none.npz", trial, data, Large())
    keeps = replace(trial, checkpoint=600.0, keep_model=None)
    assert keep_model(file, keeps, data, network)
    assert replace(trial, keep_model=True).id == trial.id == keeps.id


def test_what_is_no_model_is_reported(build, plugins, tmp_path):
    file = tmp_path / "model.npz"
    with pytest.raises(DataError, match=r"none\.npz is not an exported model"):
        sparsebench.load_model(tmp_path / "none.npz")
    np.savez(file, W1=np.arange(3))
    with pytest.raises(DataError, match="is not an exported model"):
        sparsebench.load_model(file)
    trial, data, network = trained(build, plugins)
    keep_model(file, trial, data, network)
    net = sparsebench.load_model(file)
    with pytest.raises(DataError, match=r"X has shape \(3, 21\); expected \(samples, 20\)"):
        net.predict(np.zeros((3, 21)))


def test_connections_out_of_place_are_reported(build, plugins, tmp_path: Path):
    trial, data, network = trained(build, plugins)
    file = tmp_path / "model.npz"
    keep_model(file, trial, data, network)
    with np.load(file) as found:
        arrays = dict(found)
    arrays["W2.indices"] = arrays["W2.indices"][::-1]
    np.savez(file, **arrays)
    with pytest.raises(DataError, match="not sorted and unique"):
        sparsebench.load_model(file)


LABELS = {
    "words": (["acute myeloid", "ALL", "\u00e4ngstlich"], np.float64),
    "negative": ([-3, 0, 7], np.float64),
    "bytes": ([0, 1, 2], np.uint8),
}


@pytest.mark.parametrize("backend", ["numba-csr", "dense-mask"])
@pytest.mark.parametrize("labels", LABELS)
def test_an_exported_network_scores_what_the_record_says(build, plugins, tmp_path, labels, backend):
    """On inputs with a constant column and a duplicated one."""
    names, dtype = LABELS[labels]
    blobs = Blobs(120, 8, 3, 1)
    X = np.clip(40 * blobs.X + 128, 0, 255).astype(dtype)
    X[:, 6], X[:, 7] = 14, X[:, 0]
    y = np.array(names)[blobs.targets]
    data = prepare(Parts(X[:90], y[:90], X[90:], y[90:]))
    trial, _, _ = trained(build, plugins)
    result = train(small_work(build, data=data, backend=backend))
    file = tmp_path / "model.npz"
    keep_model(file, replace(trial, backend={"name": backend}), data, result.network)
    found = sparsebench.load_model(file).predict(X[90:])
    assert (found == y[90:]).mean() == result.measures["test_accuracy"]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(20), r"X has shape \(20,\); expected \(samples, 20\)"),
        (np.zeros((2, 20, 1)), "X has shape"),
        (np.full((2, 20), np.nan), r"X has nan at row 0, column 0 .*expected finite numbers"),
        (np.full((2, 20), np.inf), "X has inf at row 0"),
        (np.full((2, 20), "a"), "X has dtype <U1; expected numbers"),
    ],
    ids=str,
)
def test_no_prediction_from_what_is_no_sample(build, plugins, tmp_path, X, message):
    trial, data, network = trained(build, plugins)
    keep_model(tmp_path / "model.npz", trial, data, network)
    net = sparsebench.load_model(tmp_path / "model.npz")
    with pytest.raises(DataError, match=message) as caught:
        net.predict(X)
    assert "\n" not in str(caught.value)
    assert len(net.predict(np.zeros((0, 20)))) == 0
