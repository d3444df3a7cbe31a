"""Predicted bytes against those of real networks and real processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sparsebench_plugins.backends.numba_csr import layer as numba_layer
from trials import DATA, make_trial

from sparsebench.core.job import Job
from sparsebench.core.training.loop import train
from sparsebench.core.trial import Trial
from sparsebench.core.worker.assemble import assemble, build, prepare
from sparsebench.core.worker.meter import Meter
from sparsebench.registry import Plugins
from sparsebench.run.planning.predict import bytes_needed, outline
from sparsebench.run.planning.prediction import Prediction, predict, refusal
from sparsebench.run.supervisor import Supervised

BACKENDS = (
    "numba-csr",
    {"name": "numba-csr", "activations": "bfloat16"},
    {"name": "numba-csr", "momenta": "bfloat16"},
    "scipy-csr",
    "dense-mask",
)
OPTIMIZERS = ({"name": "sgd"}, {"name": "sgd", "momentum": 0.9}, "adam")
MODELS = (
    {"name": "mlp", "hidden": [], "activation": "relu"},
    {"name": "mlp", "hidden": [50], "activation": "relu"},
    {"name": "mlp", "hidden": [40, 30, 70], "activation": "all-relu", "dropout": 0.3},
)


def measured(plugins: Plugins, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What training gave, in this process."""
    monkeypatch.setattr(numba_layer, "SCRATCH", numba_layer.Scratch())
    parts = build(trial, plugins)
    return train(assemble(parts, trial, prepare(parts, trial), Meter(), None))


def check_exact(plugins: Plugins, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    of = outline(trial, plugins)
    assert of is not None
    needed = bytes_needed(of)
    assert needed is not None
    result = measured(plugins, trial, monkeypatch)
    assert needed.layers == [layer["stored_bytes"] for layer in result.layers]
    stored = result.network.stored_bytes()
    assert needed.activations == stored["activations"]
    assert needed.stored == sum(stored.values()) == result.measures["stored_bytes"]
    assert needed.peak >= needed.stored


@pytest.mark.parametrize("batch", [2, 8, 16, 32, 128])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, ids=str)
def test_stored_bytes_are_exact(
    plugins: Plugins, backend: Any, optimizer: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(plugins, backend=backend, optimizer=optimizer, batch_size=batch)
    check_exact(plugins, trial, monkeypatch)


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr", "dense-mask"])
def test_stored_bytes_of_models(
    plugins: Plugins, backend: str, model: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(plugins, backend=backend, model=model, batch_size=batch)
    check_exact(plugins, trial, monkeypatch)


@pytest.mark.parametrize("activation", ["tanh", "srelu", "leaky-relu", "identity", "sigmoid"])
@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr"])
def test_stored_bytes_of_activations(
    plugins: Plugins, backend: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"name": "mlp", "hidden": [40, 30], "activation": activation}
    check_exact(plugins, make_trial(plugins, backend=backend, model=model), monkeypatch)


@pytest.mark.parametrize(
    "topology",
    [
        "dense",
        "static",
        {"name": "static", "density": 0.3, "allocation": "erk"},
        {"name": "set", "density": 0.3, "allocation": "uniform", "evolve": "all-but-last"},
    ],
    ids=str,
)
def test_stored_bytes_of_topologies(
    plugins: Plugins, topology: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_exact(plugins, make_trial(plugins, topology=topology, validation=0.2), monkeypatch)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, {"name": "sgd", "momentum": 0.9,
                                                     "nesterov": True}], ids=str)  # fmt: skip
def test_stored_bytes_where_the_batch_comes_in_tiles(
    plugins: Plugins, optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(
        plugins,
        dataset={**DATA, "samples": 96},
        model={"name": "mlp", "hidden": [70_000, 40], "activation": "relu"},
        topology={"name": "static", "epsilon": 1},
        optimizer=optimizer,
        batch_size=64,
        epochs=1,
    )
    check_exact(plugins, trial, monkeypatch)


def test_what_declares_nothing_is_unknown(plugins: Plugins) -> None:
    assert predict(make_trial(plugins, dataset={"name": "file", "path": "x"}), plugins) == (
        Prediction()
    )
    trial = make_trial(plugins, backend="mkl-csr")
    assert predict(trial, plugins) == Prediction()
    of = outline(trial, plugins)
    assert of is not None
    assert of.backend is None


def test_pruned_connections_are_not_predicted(plugins: Plugins) -> None:
    prune = {"name": "importance", "start": 2}
    pruned = predict(make_trial(plugins, prune=prune), plugins)
    plain = predict(make_trial(plugins), plugins)
    assert pruned.stored_bytes is None
    assert pruned.least_bytes == plain.stored_bytes
    assert predict(make_trial(plugins, prune={**prune, "start": 3}), plugins) == plain


def test_only_what_cannot_fit_is_refused(plugins: Plugins) -> None:
    trial = make_trial(plugins, memory_limit=1000)
    needs = Prediction(net_peak_bytes=2000, stored_bytes=1000, least_bytes=1000)
    assert refusal(trial, needs) == ""
    assert refusal(trial, Prediction()) == ""
    text = refusal(trial, Prediction(net_peak_bytes=3072, least_bytes=2048))
    assert text.startswith("needs at least 2.0 KiB and 3.0 KiB at its predicted peak, over the")
    for option in ("--memory-limit", "--set", "--no-plan"):
        assert option in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "given"),
    [
        ("numba-csr", {}),
        ("numba-csr", {"batch_size": 4}),
        ("numba-csr", {"optimizer": "adam"}),
        ("scipy-csr", {}),
        ("dense-mask", {"model": {"name": "mlp", "hidden": [2000, 2000], "activation": "relu"}}),
    ],
    ids=str,
)
def test_net_peak_of_a_process(
    plugins: Plugins,
    backend: str,
    given: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an allocator that gives back what is freed: see the guide on predictions."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**17))
    model = {"name": "mlp", "hidden": [40_000, 40_000], "activation": "all-relu"}
    data = {**DATA, "samples": 192, "features": 4000}
    trial = make_trial(
        plugins, backend=backend,
        **{"dataset": data, "model": model, "topology": {"name": "set", "epsilon": 10}, **given},
    )  # fmt: skip
    handle = Supervised(Job(trial=trial, folder=tmp_path / "attempt", data_dir=tmp_path))
    while (outcome := handle.poll()) is None:
        time.sleep(0.05)
    assert outcome["status"] == "ok", outcome
    measures = outcome["measures"]
    predicted = predict(trial, plugins)
    assert predicted.stored_bytes == measures["stored_bytes"]
    assert predicted.net_peak_bytes == pytest.approx(measures["net_peak_bytes"], rel=0.03)
