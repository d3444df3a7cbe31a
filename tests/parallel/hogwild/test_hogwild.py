"""Workers that share values without locks: what is the same as alone, and what stays true."""

from __future__ import annotations

import numpy as np
import pytest
from alone import accuracies, error_after_threads, error_of, trained

RULES = {
    "momentum": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-4,
                 "decay": "decoupled-unscaled"},
    "cosine": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9,
                "schedule": {"name": "cosine"}},
    "adam": {"name": "adam", "learning_rate": 0.003},
}  # fmt: skip
SRELU = {"name": "mlp", "hidden": [40, 30], "activation": "srelu", "dropout": 0.2}


@pytest.mark.parametrize(
    ("backend", "rule", "given"),
    [
        ("numba-csr", "momentum", {}),
        ("scipy-csr", "cosine", {"topology": {"name": "set", "epsilon": 6, "update_every": 7}}),
        ("scipy-csr", "adam", {"model": SRELU}),
        ("dense-mask", "momentum", {"model": SRELU}),
        ("scipy-csr", "momentum", {"pruning": {"name": "importance", "start": 2, "every": 1}}),
    ],
    ids=["numba", "update_every", "srelu adam", "dense", "pruning"],
)
def test_one_worker_is_sequential(in_own_process, backend, rule, given):
    """The same batches, dropout, rates and changes of topology; only rounding may differ."""
    settings = {"backend": backend, "optimizer": RULES[rule], "epochs": 3, **given}
    alone = trained(0, **settings)
    shared = in_own_process(trained, 1, **settings)
    for a, b in zip(alone["patterns"], shared["patterns"], strict=True):
        assert np.isin(a, b).mean() > 0.99  # rounding may flip a drop or two
    for name in ("train_loss", "test_loss", "learning_rate"):
        assert [e[name] for e in shared["epochs"]] == pytest.approx(
            [e[name] for e in alone["epochs"]], rel=2e-3
        )
    for name in ("connections", "dropped", "grown", "pruned"):
        assert [e[name] for e in shared["epochs"]] == [e[name] for e in alone["epochs"]]
    if all(np.array_equal(a, b) for a, b in zip(alone["patterns"], shared["patterns"])):
        for a, b in zip(alone["values"], shared["values"], strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3)


def test_laws_with_three_workers(in_own_process):
    """330 samples by 3 in batches of 32: 4 steps each, and all of them are counted."""
    found = in_own_process(trained, 3, epochs=3, backend="scipy-csr")
    for epoch in found["epochs"]:
        assert epoch["connections"] == [360, 420, 120]
        assert epoch["dropped"] == epoch["grown"]
        assert np.isfinite(epoch["train_loss"])
    assert min(found["epochs"][0]["dropped"]) > 0
    assert sum(found["epochs"][-1]["dropped"]) == 0
    for keys in found["patterns"]:
        assert (np.diff(keys) > 0).all()  # rows and columns rise, none is there twice
    measures = found["measures"]
    assert measures["bytes_sent"] == 0
    assert measures["staleness_mean"] is None
    assert measures["worker_step_seconds"] > 0
    assert measures["stored_bytes"] > measures["shared_bytes"] > 900 * (4 + 4 + 4)
    assert all(layer["stored_bytes"]["shared"] > 0 for layer in found["layers"])
    assert [step for _, step, _ in found["progress"]][-1] == 3 * 12


def test_neurons_are_pruned_for_all_workers(in_own_process):
    pruning = {"name": "importance", "start": 1, "every": 1, "percentile": 20}
    found = in_own_process(
        trained, 2, epochs=3, backend="scipy-csr", pruning=pruning,
        topology={"name": "static", "epsilon": 6}, model=SRELU,
    )  # fmt: skip
    before, after = (sum(found["epochs"][e]["connections"]) for e in (0, 2))
    assert after < before
    assert sum(keys.size for keys in found["patterns"]) == after
    assert not found["diverged"]


@pytest.mark.parametrize(("workers", "rule"), [(2, "momentum"), (3, "adam")])
def test_several_workers_learn_as_well(in_own_process, workers, rule):
    """The digits, two seeds: within 6 points of one process. Alone it is about 96 % and varies by
    a point; a topology or a state that did not follow would cost far more."""
    settings = {
        "dataset": "digits", "backend": "scipy-csr", "epochs": 8, "batch_size": 32,
        "optimizer": {**RULES[rule], "learning_rate": 0.02 if rule == "momentum" else 0.003},
        "model": {"name": "mlp", "hidden": [60, 60], "activation": "relu"},
        "topology": {"name": "set", "epsilon": 8},
    }  # fmt: skip
    alone = np.mean(accuracies(0, (0, 1), **settings))
    together = np.mean(in_own_process(accuracies, workers, (0, 1), **settings))
    assert alone > 0.9
    assert together > alone - 0.06


def test_nan_ends_all_workers(in_own_process):
    found = in_own_process(
        trained, 2, epochs=50, optimizer={"name": "sgd", "learning_rate": 1e30},
        model={"name": "mlp", "hidden": [20]},
    )  # fmt: skip
    assert found["diverged"]
    assert len(found["epochs"]) < 50


def test_more_workers_than_samples_is_one_line(in_own_process):
    error = in_own_process(error_of, 400)
    assert error.startswith("Unsupported: trainer.workers: 400 workers for 330 training samples")


def test_a_process_with_threads_of_numba_does_not_fork(in_own_process):
    error = in_own_process(error_after_threads, 2)
    assert error.startswith("Unsupported: hogwild forks its workers, and this process has run")
