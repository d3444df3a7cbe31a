"""Trials, records and runs with invented numbers, which vary as real ones do: by seed and run."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sparsebench.analysis.comparison import Comparison, compare
from sparsebench.analysis.comparison_sides import side_of
from sparsebench.analysis.gates import Gates, default_gates
from sparsebench.core.files import read_lines
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record
from sparsebench.store.store import Store, planned

SUITE = """
schema = 1
name = "demo"
title = "Sparse | dense on handwritten digits"
source = "Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3"
deviations = ["connections are drawn without replacement"]

[[expect]]
where = { backend = "dense-mask" }
status = "out-of-memory"

[[claims]]
text = "SET reaches at least the accuracy of the fixed random topology"
metric = "test_accuracy"
where = { topology = "set" }
against = { topology = "static" }
source = "Fig. 3"

[[claims]]
text = "0.3 minutes | epoch"
metric = "epoch_seconds"
where = { topology = "set", prune = "", backend = "numba-csr" }
value = 18.0
n = 1
source = "README"
"""

MACHINE = {
    "id": "ab12", "cpu": "Some CPU @ 2 GHz", "cores": 4, "usable_cores": 2,
    "memory_bytes": 8 * 2**30, "system": "Linux", "kernel": "6.1", "python": "3.12.1",
}  # fmt: skip

SET = {"name": "set", "epsilon": 20, "zeta": 0.3, "prune": None}
STATIC = {"name": "static", "epsilon": 20, "prune": None}
DENSE = {"name": "dense", "prune": None}
PRUNED = {**SET, "prune": {"name": "importance", "start": 2}}


SETTINGS = {"exact": True, "memory_method": "VmHWM", "threading_layer": "omp"}


def make_trial(**changed: Any) -> Trial:
    defaults: dict[str, Any] = {
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [100, 100], "activation": {"name": "relu"}},
        "topology": SET,
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "trainer": {"name": "sequential"},
        "backend": {"name": "numba-csr"},
        "epochs": 4,
        "batch_size": 32,
        "threads": 2,
        "seed": 0,
        "suite": "demo",
        "axes": {"backend": "numba-csr", "topology": {"name": "set"}, "seed": 0},
    }
    return Trial(**{**defaults, **changed})


def make_record(trial: Trial, status: str = "ok", **changed: Any) -> Record:
    """A record with measures of its own, and those that `changed` names."""
    measures = {
        "neurons": 274, "initial_connections": 7000, "connections": 7000,
        "dense_connections": 17400, "density": 7000 / 17400, "test_accuracy": 0.95,
        "epoch_seconds": 0.012, "wall_seconds": 3.0, "samples_per_second": 120000.0,
        "net_peak_bytes": 3 * 2**20, "peak_rss_bytes": 170 * 2**20, "stored_bytes": 84000,
        "warmup_seconds": 1.25,
    }  # fmt: skip
    if status != Status.OK:
        measures = {"wall_seconds": 1.0}
    defaults: dict[str, Any] = {
        "measures": {**measures, **changed.pop("measures", {})},
        "machine": MACHINE,
        "settings": {"exact": True},
        "fingerprint": {"versions": {"numpy": "2.4.6"}, "commit": "abc123"},
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:05:05+00:00",
    }
    return bare_record(trial, status, **{**defaults, **changed})


def bare_record(trial: Trial, status: str = "ok", **changed: Any) -> Record:
    """A record that measured nothing but what `changed` names."""
    return Record(trial=trial, status=Status(status), **{"attempt": 1, **changed})


@dataclass
class FakeRun:
    """What a report asks of a stored run."""

    records: list[Record]
    path: Path = Path("/nonexistent")
    id: str = "20260102-demo-1"
    suite_text: str = SUITE
    manifest: dict[str, Any] = field(
        default_factory=lambda: {
            "argv": ["/home/somebody/bin/sparsebench", "run", "demo", "--seeds", "0:3"],
            "git": {"commit": "abc123", "dirty": False},
        }
    )

    store: Any = field(default_factory=lambda: SimpleNamespace(path=Path("/nonexistent")))

    def folder(self, record: Record) -> Path:
        return self.path / record.trial.id

    def events(self) -> list[dict[str, Any]]:
        return [{"event": "ended", "exit_code": 0}]

    def epochs(self, record: Record) -> list[dict[str, Any]]:
        return list(read_lines(self.folder(record) / "epochs.jsonl"))

    def write_epochs(self, record: Record, lines: Iterable[dict[str, Any]]) -> None:
        self.folder(record).mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder(record) / "epochs.jsonl").write_text(text)


def stored(path: Path, records: Sequence[Record], suite_text: str = 'name = "demo"\n') -> Store:
    """A store with one run of these records, which are first attempts."""
    store = Store(path)
    trials = planned([record.trial for record in records])
    journal = store.open_run("demo", {"trials": trials}, suite_text)
    for record in records:
        attempt = store.begin(record.trial)
        journal.began(attempt)
        store.finish(attempt, record)
        journal.recorded(record)
    return store


def epoch_line(epoch: int, accuracy: float | None, **changed: Any) -> dict[str, Any]:
    return {
        "epoch": epoch, "train_loss": 1 / (epoch + 1), "test_loss": 0.5,
        "test_accuracy": accuracy, "validation_accuracy": None, "learning_rate": 0.01,
        "connections": [4000, 3000], "dropped": [40, 30], "grown": [40, 30], "pruned": [0, 0],
        "data_seconds": 0.001, "train_seconds": 0.01, "topology_seconds": 0.002,
        "eval_seconds": 0.003, "rss_bytes": 10**8, **changed,
    }  # fmt: skip


BACKENDS = {"numba-csr": (1.0, 1.0), "scipy-csr": (3.1, 1.6), "dense-mask": (5.2, 9.0)}


def realistic(
    path: Path,
    sizes: tuple[int, ...] = (100,),
    epochs: int = 30,
    seeds: int = 3,
    topologies: tuple[dict[str, Any], ...] = (STATIC, SET, PRUNED),
) -> FakeRun:
    """Three backends, each topology and size, over seeds; the largest dense-mask fails."""
    draw = random.Random(0)
    run = FakeRun([], path)
    for size in sizes:
        for topology in topologies:
            for backend, factors in BACKENDS.items():
                for seed in range(seeds):
                    record = _trained(draw, size, topology, backend, factors, seed, epochs)
                    if size == max(sizes) and len(sizes) > 1 and backend == "dense-mask":
                        record = _out_of_memory(record)
                    elif size == max(sizes) and len(sizes) > 1 and backend == "scipy-csr":
                        record = make_record(record.trial, "timeout", log_tail="still | training")
                    else:
                        run.write_epochs(record, _curve(draw, record, epochs))
                    run.records.append(record)
    missing = {"missing": "fashion_mnist is not there; get it with: sparsebench data fetch x"}
    absent = make_trial(dataset={"name": "fashion_mnist"}, data=missing)
    if len(sizes) == 1:
        run.records.append(make_record(absent, "skipped", measures={"wall_seconds": None}))
    return run


def _trained(
    draw: random.Random,
    size: int,
    topology: dict[str, Any],
    backend: str,
    factors: tuple[float, float],
    seed: int,
    epochs: int,
) -> Record:
    slow, large = factors
    connections = 20 * (64 + 4 * size + 10)
    end = connections if topology["prune"] is None else connections * 2 // 3
    gain = 0.01 * (topology["name"] == "set") + 0.001 * seed
    trial = make_trial(
        model={"name": "mlp", "hidden": [size, size], "activation": {"name": "relu"}},
        topology=topology, backend={"name": backend}, seed=seed, epochs=epochs,
        timeout=60.0, memory_limit=2**30,
    )  # fmt: skip
    dense = size * (64 + size + 10)
    memory = dense * 12 if backend == "dense-mask" else connections * 24 * large
    return make_record(
        trial,
        measures={
            "initial_connections": connections, "connections": end, "dense_connections": dense,
            "density": end / dense, "neurons": 74 + 2 * size,
            "test_accuracy": 0.955 + gain + draw.gauss(0, 0.002),
            "epoch_seconds": 1e-6 * connections * slow * draw.uniform(0.95, 1.05),
            "net_peak_bytes": int(memory * draw.uniform(1.0, 1.03)) + 500_000,
            "stored_bytes": connections * 12 if backend != "dense-mask" else dense * 9,
            "topology_seconds": 0.02 * slow,
        },
    )  # fmt: skip


def lawful(
    backend: str,
    size: int,
    seconds: float,
    peak: float,
    *,
    connections: int | None = None,
    epsilon: float = 20.0,
    samples: int = 1000,
    seed: int = 0,
    **changed: Any,
) -> Record:
    """A network of two hidden layers with the given cost, trained on so many samples."""
    trial = make_trial(
        model={"name": "mlp", "hidden": [size, size], "activation": {"name": "relu"}},
        topology={**STATIC, "epsilon": epsilon}, backend={"name": backend}, seed=seed, **changed,
    )  # fmt: skip
    connections = connections or 20 * (64 + 4 * size + 10)
    dense = size * (64 + size + 10)
    measures = {
        "initial_connections": connections, "connections": connections, "neurons": 74 + 2 * size,
        "dense_connections": dense, "density": connections / dense, "epoch_seconds": seconds,
        "net_peak_bytes": peak, "train_seconds": 4 * seconds,
        "samples_per_second": samples / seconds,
    }  # fmt: skip
    return make_record(trial, measures=measures)


def _out_of_memory(record: Record) -> Record:
    return make_record(
        record.trial, "out-of-memory", cause="alloc", log_tail="Traceback\nMemoryError: 4 GiB\n"
    )


def _curve(draw: random.Random, record: Record, epochs: int) -> list[dict[str, Any]]:
    top = record.measures["test_accuracy"]
    assert top is not None
    return [epoch_line(e, top - 0.5 * 0.8**e + draw.gauss(0, 0.004)) for e in range(1, epochs + 1)]


# --- the two sides of a comparison ---------------------------------------------------

MOMENTS = itertools.count()
SIZES = (100, 300, 1000)


def cell_trial(backend: str = "numba-csr", size: int = 100, seed: int = 0, **changed: Any) -> Trial:
    """A trial of a cell by backend and size."""
    axes = {"backend": backend, "model.hidden": [size, size], "seed": seed}
    model = {"name": "mlp", "hidden": [size, size]}
    return make_trial(
        **{"model": model, "backend": {"name": backend}, "seed": seed, "axes": axes, **changed}
    )


def measured(trial: Trial, status: str = "ok", **changed: Any) -> Record:
    """A record under settings that two sides share; one that failed has no measures."""
    if status != "ok":
        changed["measures"] = {}
    shared = {"settings": SETTINGS, "machine": {"id": MACHINE["id"]}}
    return bare_record(trial, status, **{**shared, **changed})


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
    for backend, size, seed in itertools.product(("numba-csr", "scipy-csr"), SIZES, seeds):
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
        of = cell_trial(backend, size, seed)
        records.append(measured(of, measures=measures, started=started))
    return records


def compared(
    base: Iterable[Record], head: Iterable[Record], gates: Gates | None = None, **changed: Any
) -> Comparison:
    """As `sparsebench compare` does: records in, verdicts out."""
    return compare(side_of(base), side_of(head), replace(gates or default_gates(), **changed))


def verdicts(comparison: Comparison, metric: str) -> list[str]:
    return [str(one.verdict) for one in comparison.findings if one.metric == metric]
