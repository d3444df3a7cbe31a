"""The lower bound on a trial's memory, against what real networks store."""

from __future__ import annotations

from typing import Any

import pytest
from planned_trials import make_trial

from sparsebench.core.training.loop import train
from sparsebench.core.trial import Trial
from sparsebench.core.worker.attempt import assemble, build, prepare
from sparsebench.core.worker.meter import Meter
from sparsebench.registry import Plugins
from sparsebench.run.cost_prediction import Prediction, predict, refusal
from sparsebench.run.trial_sizes import declared_sizes

BACKENDS = (
    "numba-csr",
    {"name": "numba-csr", "activations": "bfloat16"},
    "scipy-csr",
    "dense-mask",
)
OTHERS: tuple[dict[str, Any], ...] = (
    {},
    {"optimizer": "adam", "batch_size": 4},
    {"model": {"name": "mlp", "hidden": [], "activation": "relu"}},
    {"model": {"name": "mlp", "hidden": [40, 30, 70], "dropout": 0.3}, "batch_size": 128},
    {"model": {"name": "mlp", "hidden": [40, 30], "activation": "sigmoid"}},
    {"topology": "dense", "validation": 0.2},
    {"topology": {"name": "static", "density": 0.3, "allocation": "erk"}},
)


def measured(plugins: Plugins, trial: Trial) -> Any:
    """The result of training in this process."""
    parts = build(trial, plugins)
    return train(assemble(parts, trial, prepare(parts, trial), Meter()))


@pytest.mark.parametrize("other", OTHERS, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, ids=str)
def test_what_is_stored_is_never_less(plugins: Plugins, backend: Any, other: Any) -> None:
    if isinstance(backend, dict) and other.get("model", {}).get("activation") == "sigmoid":
        pytest.skip("bfloat16 is for activations that are linear on both sides of zero")
    if isinstance(backend, dict) and "optimizer" in other:
        pytest.skip("nothing in the bound depends on both, and the pair takes long to compile")
    trial = make_trial(plugins, backend=backend, **other)
    of = declared_sizes(trial, plugins)
    assert of is not None
    assert of.least_bytes is not None
    result = measured(plugins, trial)
    assert [(row["shape"], row["initial_connections"]) for row in result.layers] == [
        (list(layer.shape), layer.nnz) for layer in of.layers
    ]
    inputs = 4 * of.batch * of.data.features
    assert of.least_bytes <= result.measures["stored_bytes"] + inputs <= 10 * of.least_bytes


def test_what_declares_nothing_is_unknown(plugins: Plugins) -> None:
    file = make_trial(plugins, dataset={"name": "file", "path": "x"})
    assert predict(file, plugins) == Prediction()
    trial = make_trial(plugins, backend="mkl-csr")
    assert predict(trial, plugins) == Prediction()
    of = declared_sizes(trial, plugins)
    assert of is not None
    assert of.truly_sparse is None


def test_the_bound_in_numbers(plugins: Plugins) -> None:
    """Layers of 280, 280 and 90 connections (30 -> 40 -> 30 -> 3), batches of 32, one slot.

    Inputs 4 * 32 * 30; 10 bytes a connection; 4 bytes a neuron for its bias; for a batch 2
    bytes for each hidden neuron and 4 for each output.
    """
    least = predict(make_trial(plugins), plugins).least_bytes
    assert least == 3840 + 10 * 650 + 4 * 73 + 32 * (2 * 70 + 4 * 3)
    dense = predict(make_trial(plugins, backend="dense-mask"), plugins).least_bytes
    assert dense == 3840 + 6 * (30 * 40 + 40 * 30 + 30 * 3) + 4 * 73 + 32 * (2 * 70 + 4 * 3)


def test_only_what_cannot_fit_is_refused(plugins: Plugins) -> None:
    trial = make_trial(plugins, memory_limit=1000)
    assert refusal(trial, Prediction(least_bytes=1000)) == ""
    assert refusal(trial, Prediction()) == ""
    text = refusal(trial, Prediction(least_bytes=2048))
    assert text.startswith("needs at least 2.0 KiB, over the memory limit of 1000 B;")
    for option in ("--memory-limit", "--set", "--no-plan"):
        assert option in text
