"""Records of trials with a server and workers, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.record import Record
from sparsebench.store.store import Store, planned

MACHINE = {"id": "ab12", "usable_cores": 8}

SAMPLES, BATCH, EPOCHS = 3200, 32, 5

ALONE = {"worker_step_seconds": 2e-3, "master_step_seconds": 5e-4, "bytes_sent_per_step": 2e5,
         "topology_bytes_sent": 5e5, "link_latency_seconds": 2e-5, "link_bytes_per_second": 1e9,
         "topology_seconds": 0.05, "staleness_mean": 0.0}  # fmt: skip
"""A worker's 2 ms, the server's 0.5 ms, 0.2 ms on the way: an epoch of 100 steps."""


def trial(trainer: dict[str, Any], seed: int = 0, **changed: Any) -> Trial:
    given: dict[str, Any] = {
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [100, 100]},
        "topology": {"name": "set", "epsilon": 20},
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "trainer": trainer,
        "backend": {"name": "numba-csr"},
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "threads": 1,
        "seed": seed,
        "suite": "made-up",
    }
    return Trial(**{**given, **changed})


def record(trainer: dict[str, Any], epoch: float, seed: int = 0, **changed: Any) -> Record:
    """`epoch` seconds; other keywords are measures, or `machine`."""
    machine = changed.pop("machine", MACHINE)
    train = EPOCHS * epoch
    known = {"epoch_seconds": epoch, "train_seconds": train,
             "samples_per_second": EPOCHS * SAMPLES / train}  # fmt: skip
    more = ALONE if trainer["name"] != "sequential" else {}
    return Record(
        trial=trial(trainer, seed),
        attempt=1,
        status=Status.OK,
        measures={**known, **more, **changed},
        settings={"cores": None},
        machine=machine,
    )


def sequential(epoch: float = 0.25) -> Record:
    return record({"name": "sequential"}, epoch)


def parallel(name: str, workers: int, epoch: float, **changed: Any) -> Record:
    return record({"name": name, "workers": workers}, epoch, **changed)


def keep(folder: Path, records: list[Record]) -> str:
    """A run of these in a store; its id."""
    store = Store(folder)
    run = store.open_run("made-up", {"trials": planned([one.trial for one in records])})
    for one in records:
        attempt = store.begin(one.trial, run=run.id)
        run.began(attempt)
        store.finish(attempt, one)
        run.recorded(one)
    return run.id
