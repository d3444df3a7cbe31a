"""A small trial's Work on made-up data, for tests of the training loop."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np
from sparsebench_plugins.objectives.classification import Classification

from sparsebench.core.data.prepare import TrialData
from sparsebench.core.data.prepare import prepare as prepare_for
from sparsebench.core.training.work import Work


def prepare(data, **given: Any) -> TrialData:
    """For classification, unless `objective` says otherwise."""
    return prepare_for(data, given.pop("objective", Classification()), **{"seed": 0, **given})


class Blobs:
    """Gaussian classes, learnable but not at once."""

    def __init__(self, n: int, features: int, classes: int, seed: int) -> None:
        centres = np.random.default_rng(99).standard_normal((classes, features))
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(classes, size=n)
        noise = rng.standard_normal((n, features))
        self.X = (centres[self.targets] + 1.5 * noise).astype(np.float32)
        self.features = features

    def batch(self, rows):
        return np.ascontiguousarray(self.X[rows].T)

    def fingerprint(self) -> str:
        return f"blobs {self.X.sum()}"


class NoMeter:
    @contextmanager
    def phase(self, name: str):
        yield

    def rss(self) -> int:
        return 0

    def net_peak_bytes(self) -> int | None:
        return None


def small_work(build, **given: Any) -> Work:
    """Components by kind as a suite would give them; other keywords go to Work."""
    defaults = {
        "backend": "numba-csr",
        "model": {"name": "mlp", "hidden": [40, 30], "activation": "all-relu", "dropout": 0.2},
        "topology": {"name": "set", "epsilon": 6},
        "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "objective": "classification",
    }
    parts = {kind: build(kind, given.pop(kind, value)) for kind, value in defaults.items()}
    pruning = given.pop("pruning", None)
    blobs = (Blobs(330, 20, 4, 1), Blobs(90, 20, 4, 2), 4)
    data = given.pop("data", None) or prepare(blobs, objective=parts["objective"])
    settings = {"epochs": 4, "batch_size": 32, "seed": 0, "data": data, **given}
    return Work(
        **parts,
        pruning=build("pruning", pruning) if pruning else None,
        meter=NoMeter(),
        **settings,
    )
