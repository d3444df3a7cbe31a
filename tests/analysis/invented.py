"""Records with invented numbers, drawn as real ones vary: from seed to seed, and run to run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.gates import Gates, default_gates
from sparsebench.analysis.sides import side_of
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record

SETTINGS = {"exact": True, "memory_method": "VmHWM", "threading_layer": "omp"}
MACHINE = {"id": "ab12"}
MOMENTS = itertools.count()
SIZES = (100, 300, 1000)
BACKENDS = ("numba-csr", "scipy-csr")


def trial(backend: str = "numba-csr", size: int = 100, seed: int = 0, **changed: Any) -> Trial:
    given: dict[str, Any] = {
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [size, size]},
        "topology": {"name": "set", "epsilon": 20, "zeta": 0.3, "prune": None},
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "trainer": {"name": "sequential"},
        "backend": {"name": backend},
        "epochs": 4,
        "batch_size": 32,
        "threads": 2,
        "seed": seed,
        "suite": "demo",
        "axes": {"backend": backend, "model.hidden": [size, size], "seed": seed},
    }
    return Trial(**{**given, **changed})


def record(of: Trial, status: str = "ok", **changed: Any) -> Record:
    measures = changed.pop("measures", {}) if status == "ok" else {}
    given: dict[str, Any] = {"settings": SETTINGS, "machine": MACHINE, "attempt": 1}
    return Record(trial=of, status=Status(status), measures=measures, **{**given, **changed})


def run_of(
    rng: np.random.Generator,
    seeds: Sequence[int] = range(5),
    *,
    accuracy_sd: float = 0.003,
    time_cv: float = 0.2,
    memory: float = 1.0,
    accuracy: float = 0.0,
    time: float = 1.0,
) -> list[Record]:
    """A run of six cells. A seed's accuracy is partly its own, partly of the moment; time has
    noise only; memory creeps by a page or two. `memory` and `time` are factors."""
    records = []
    for backend in BACKENDS:
        for size in SIZES:
            for seed in seeds:
                own = np.random.default_rng([seed, size, len(backend)]).normal()
                shared = math.sqrt(0.5) * accuracy_sd
                measures = {
                    "test_accuracy": 0.95 + accuracy + shared * (own + rng.normal()),
                    "net_peak_bytes": memory * (45 * 2**20 + 4096 * int(rng.integers(0, 40))),
                    "epoch_seconds": time * size * 1e-5 * math.exp(time_cv * rng.normal()),
                    "stored_bytes": 12 * 40 * size,
                    "connections": 40 * size,
                    "neurons": 74 + 2 * size,
                }
                started = f"moment {next(MOMENTS)}"
                records.append(
                    record(trial(backend, size, seed), measures=measures, started=started)
                )
    return records


def compared(
    base: Iterable[Record], head: Iterable[Record], gates: Gates | None = None, **changed: Any
) -> Comparison:
    """As `sparsebench compare` does: records in, verdicts out."""
    return compare(side_of(base), side_of(head), replace(gates or default_gates(), **changed))


def verdicts(comparison: Comparison, metric: str) -> list[str]:
    return [str(one.verdict) for one in comparison.findings if one.metric == metric]


@dataclass
class InventedRun:
    """What `check` asks of a stored run."""

    records: list[Record]
    suite_text: str = ""
    id: str = "20260102-demo-1"
    path: Path = Path("/nonexistent/runs/20260102-demo-1")
    manifest: dict[str, Any] = field(default_factory=dict)
