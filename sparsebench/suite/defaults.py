"""The components that are used if a suite names none."""

from __future__ import annotations

from typing import Any

from sparsebench.core.trial import DEFAULT_OBJECTIVE

DEFAULT_NAMES = {
    "model": "mlp",
    "topology": "dense",
    "optimizer": "sgd",
    "trainer": "sequential",
    "backend": "numba-csr",
    "objective": DEFAULT_OBJECTIVE,
}
"""The default component of each kind."""

EXECUTOR = "local"

CALIBRATION: dict[str, Any] = {
    "dataset": {
        "name": "microarray-like", "samples": 8, "features": 4, "informative": 2, "classes": 2
    },
    "model": {"hidden": [2]},
    "backend": "dense-mask",
    "trainer": {"name": "calibration"},
    "epochs": 1,
    "batch_size": 4,
    "threads": 1,
}  # fmt: skip
"""The raw trial of `sparsebench doctor --calibrate`. It is as small as possible except for its
trainer, which takes a known amount of memory."""
