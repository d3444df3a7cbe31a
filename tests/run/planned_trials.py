"""Trials of built-in components, as a suite would give them."""

from __future__ import annotations

from typing import Any

from sparsebench.core.trial import Trial
from sparsebench.registry import Plugins

DATA = {"name": "microarray-like", "samples": 60, "features": 30, "informative": 5, "classes": 3}
PARTS = {
    "dataset": DATA,
    "model": {"name": "mlp", "hidden": [40, 30], "activation": "all-relu"},
    "topology": {"name": "set", "epsilon": 4},
    "optimizer": {"name": "sgd", "momentum": 0.9},
    "trainer": "sequential",
    "backend": "numba-csr",
}


def make_trial(plugins: Plugins, **given: Any) -> Trial:
    """Of 40 training samples and 20 test samples, unless `dataset` says otherwise."""
    prune = given.pop("prune", None)
    parts = {
        kind: plugins.validate(kind, given.pop(kind, value), kind) for kind, value in PARTS.items()
    }
    parts["topology"]["prune"] = prune
    return Trial(**parts, **{"epochs": 2, "batch_size": 32, "threads": 2, "seed": 0, **given})
