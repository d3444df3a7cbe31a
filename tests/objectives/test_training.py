"""The training loop with targets that are no labels: backends, columns, checkpoints, files."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from small import prepare, small_work

import sparsebench
from sparsebench.core.data.samples import Parts
from sparsebench.core.metric import STEP_PARTS
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import train
from sparsebench.core.training.model_file import keep_model
from sparsebench.core.training.steps import evaluate
from sparsebench.core.training.summary import scores
from sparsebench.core.training.work import EpochRecord
from sparsebench.core.trial import Trial
from sparsebench.testing import check_trajectory

BACKENDS = ("numba-csr", "scipy-csr", "dense-mask")
RNG = np.random.default_rng(5)
HIDDEN = RNG.standard_normal((330, 3))
X = (HIDDEN @ RNG.standard_normal((3, 20)) + 0.1 * RNG.standard_normal((330, 20))).astype(
    np.float32
)
Y = np.stack([50 + 10 * HIDDEN[:, 0] * HIDDEN[:, 1], HIDDEN[:, 2]], axis=1)
TARGETS = {
    "regression": Y[:, 0],
    "dense-output": Y,
    "reconstruction": np.arange(330) % 3,
}
CODER = {"name": "autoencoder", "hidden": [30], "dropout": 0.2}


def work_of(build, objective, **given):
    name = objective if isinstance(objective, str) else objective["name"]
    data = prepare(
        Parts(7 * X + 3, TARGETS[name]),
        objective=build("objective", objective),
        validation=given.pop("validation", 0.0),
    )
    given.setdefault("optimizer", {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9})
    return small_work(build, objective=objective, data=data, **given)


@pytest.mark.parametrize(
    ("objective", "model"),
    [
        ("regression", {"name": "mlp", "hidden": [40, 30], "activation": "relu", "dropout": 0.2}),
        ({"name": "reconstruction", "noise": 0.2, "fresh": True}, CODER),
        ("reconstruction", {**CODER, "activation": "relu", "output": "tanh"}),
        ("dense-output", {"name": "mlp", "hidden": [30], "activation": "all-relu"}),
    ],
    ids=str,
)
def test_backends_walk_the_same_trajectory(build, objective, model):
    """50 steps, an update of the topology forced every 10, dropout and noise and all."""
    losses: dict[str, list[float]] = {}
    for backend in BACKENDS:
        found = losses.setdefault(backend, [])
        work = work_of(
            build, objective, backend=backend, model=model, epochs=8,
            topology={"name": "set", "epsilon": 6, "update_every": 10},
            progress=lambda epoch, step, loss, found=found: found.append(loss),
        )  # fmt: skip
        result = train(work)
        assert len(found) >= 50
        assert sum(sum(epoch.dropped) for epoch in result.epochs) > 0
    check_trajectory(losses)


def test_an_autoencoder_learns_and_has_the_columns_of_its_objective(build):
    objective = {"name": "reconstruction", "noise": 0.1}
    work = work_of(build, objective, model={**CODER, "dropout": 0.0}, epochs=30, validation=0.2)
    result = train(work)
    measures = result.measures
    assert "test_accuracy" not in measures
    assert measures["test_mse"] < 0.5  # 1 for the mean of each feature
    assert measures["test_r2"] > 0.5
    assert measures["best_test_mse"] == min(e.metrics["test_mse"] for e in result.epochs)
    chosen = min(result.epochs, key=lambda e: e.metrics["validation_mse"])
    assert measures["selected_test_mse"] == chosen.metrics["test_mse"]
    assert result.epochs[-1].test_accuracy is None


def test_regression_is_scored_in_its_own_units(build):
    work = work_of(build, "regression", epochs=20)
    result = train(work)
    y = TARGETS["regression"]
    assert result.measures["test_rmse"] < y.std()
    assert result.measures["test_rmse"] == pytest.approx(
        y.std() * math.sqrt(1 - result.measures["test_r2"]), rel=0.25
    )
    assert result.measures["test_loss"] < 0.5


def test_a_classification_record_has_the_contracts_columns_and_no_others(build):
    result = train(small_work(build, epochs=1))
    ours = {name for name in result.measures if "accuracy" in name}
    assert ours == {
        "test_accuracy",
        "best_test_accuracy",
        "validation_accuracy",
        "selected_test_accuracy",
    }
    assert set(result.epochs[0].metrics) == {f"{part}_seconds" for part in STEP_PARTS}
    assert result.epochs[0].test_accuracy == result.measures["test_accuracy"]


def test_less_is_better_where_the_metric_says_so(build):
    """Errors 3, 1, 2 on the test part and 5, 6, 4 on the validation part."""
    plain = EpochRecord(
        epoch=1, train_loss=0.0, test_loss=0.0, learning_rate=0.1, connections=[], dropped=[],
        grown=[], pruned=[], data_seconds=0.0, train_seconds=0.0, topology_seconds=0.0,
        eval_seconds=0.0,
    )  # fmt: skip
    epochs = [
        plain.with_metrics({"test_rmse": a, "validation_rmse": b})
        for a, b in ((3.0, 5.0), (1.0, 6.0), (2.0, 4.0))
    ]
    found = scores(build("objective", "regression").scores[:1], epochs)
    assert found == {
        "test_rmse": 2.0,
        "validation_rmse": 4.0,
        "best_test_rmse": 1.0,
        "selected_test_rmse": 2.0,
    }


# --- files of trained networks -------------------------------------------------------


def kept(build, plugins, tmp_path, objective, model):
    parts = {
        "model": model,
        "backend": "numba-csr",
        "optimizer": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9},
        "topology": {"name": "set", "epsilon": 6},
        "objective": objective,
    }
    work = work_of(build, objective, **{k: v for k, v in parts.items() if k != "objective"})
    result = train(work)
    trial = Trial(
        **{kind: plugins.validate(kind, given, kind) for kind, given in parts.items()},
        dataset={"name": "file"}, trainer={"name": "sequential"}, epochs=4, batch_size=32,
        threads=1, seed=0,
    )  # fmt: skip
    assert keep_model(tmp_path / "model.npz", trial, work.data, result.network)
    return work.data, result.network, tmp_path / "model.npz"


@pytest.mark.parametrize("name", ["regression", "dense-output"])
@pytest.mark.parametrize("backend", [None, "dense-mask"])
def test_a_loaded_model_predicts_numbers_in_their_own_units(
    build, plugins, tmp_path, name, backend
):
    model = {"name": "mlp", "hidden": [40], "activation": "relu"}
    data, network, file = kept(build, plugins, tmp_path, name, model)
    net = sparsebench.load_model(file, backend=backend)
    rows = data.test.samples.rows
    truth, found = TARGETS[name][rows], net.predict(7 * X[rows] + 3)
    assert found.shape == truth.shape
    _, scored = evaluate(network, data.test, data.targets, 32)
    assert np.sqrt(((found - truth) ** 2).mean()) == pytest.approx(scored["rmse"], rel=1e-3)


def test_a_loaded_autoencoder_reconstructs_in_the_datas_units(build, plugins, tmp_path):
    data, _, file = kept(build, plugins, tmp_path, {"name": "reconstruction", "noise": 0.1}, CODER)
    raw = 7 * X[data.test.samples.rows] + 3
    found = sparsebench.load_model(file).predict(raw)
    assert found.shape == raw.shape
    assert ((found - raw) ** 2).mean() < 0.95 * raw.var(axis=0).mean()


# --- trials --------------------------------------------------------------------------


def test_the_default_objective_and_scaling_are_no_part_of_a_trials_id(plugins):
    base = {kind: {"name": kind} for kind in ("dataset", "model", "topology", "optimizer")}
    trial = Trial(
        **base, trainer={}, backend={}, epochs=1, batch_size=1, threads=1, seed=0
    )  # fmt: skip
    assert "objective" not in trial.spec()
    assert "scaling" not in trial.spec()
    said = plugins.validate("objective", "classification", "objective")
    assert replace(trial, objective=said, scaling="feature").id == trial.id
    others = [
        replace(trial, objective={"name": "regression"}),
        replace(trial, objective={**said, "loss": {"name": "mse"}}),
        replace(trial, scaling="none"),
    ]
    assert len({trial.id, *(other.id for other in others)}) == 4
    old = {
        key: value for key, value in trial.to_json().items() if key not in ("objective", "scaling")
    }
    assert Trial.from_json(old) == trial


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["identity", "tanh"])
def test_signals_are_those_of_the_training_pass(build, backend, output):
    """What a method sees of a batch, an activation behind the outputs included."""
    model = {**CODER, "activation": "relu", "output": output}
    work = work_of(build, "reconstruction", backend=backend, model=model)
    network = build_network(work)
    inputs, T = work.data.train.batch(np.arange(32), 1)
    seen, signals = network.observe(inputs, T, 3)
    assert seen == pytest.approx(network.compute_gradients(inputs, T, 3), rel=1e-5)
    for layer, signal in zip(network.layers, signals, strict=True):
        pattern = layer.weights().pattern
        gradient = (signal.DZ @ signal.X.T)[pattern.rows, pattern.indices]
        np.testing.assert_allclose(gradient, layer.gradients()[0], rtol=1e-3, atol=1e-5)


def test_a_trained_activation_behind_the_outputs_is_trained(build):
    model = {**CODER, "output": {"name": "srelu"}}
    network = build_network(work_of(build, "reconstruction", model=model))
    inputs = np.ascontiguousarray(X[:32].T)
    before = {name: value.copy() for name, value in network.parameters().items()}
    assert before
    assert all(name.startswith("unit2.") for name in before)
    assert len(network.gradients()) == len(network.values())
    network.train_step(inputs, inputs, 0.1, 1)
    assert any(
        not np.array_equal(before[name], value) for name, value in network.parameters().items()
    )
