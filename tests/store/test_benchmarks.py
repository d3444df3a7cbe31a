from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.store.export_formats import to_pytest_benchmark
from sparsebench.store.record import Record


def record(seed: int = 0, status: str = "ok", kernel: str = "", **given: Any) -> Record:
    trainer = {"name": "kernel", "kernel": kernel} if kernel else {"name": "sequential"}
    axes = {"model.hidden": given.pop("hidden", [8]), "trainer": trainer, "seed": seed}
    part = {"name": "x"}
    trial = Trial(
        dataset=part, model={"name": "mlp", "hidden": axes["model.hidden"]}, topology=part,
        optimizer=part, trainer=trainer, backend=part, epochs=1, batch_size=4, threads=1,
        seed=seed, suite="demo", axes=axes,
    )  # fmt: skip
    return Record(trial=trial, attempt=1, status=Status(status), **given)


def exported(*records: Record, **manifest: Any) -> Any:
    run = SimpleNamespace(records=list(records), manifest=manifest)
    return json.loads(to_pytest_benchmark(run))  # type: ignore[arg-type]


def test_seeds_of_a_cell_are_the_data_of_one_benchmark() -> None:
    found = exported(
        record(1, measures={"epoch_seconds": 3.0}), record(0, measures={"epoch_seconds": 1.0})
    )
    (one,) = found["benchmarks"]
    assert one["stats"]["data"] == [1.0, 3.0]
    assert (one["stats"]["mean"], one["stats"]["rounds"]) == (2.0, 2)
    assert one["name"] == "demo[8-sequential]"
    assert one["params"] == {"model.hidden": "8", "trainer": "sequential"}
    assert (one["group"], one["extra_info"]["seconds"]) == ("demo", "epoch")


def test_repeats_are_the_data_of_a_kernel() -> None:
    layers = [{"shape": [1, 1]}, {"shape": [2, 2], "bound": "flops", "repeats": [2.0, 1.0]}]
    (one,) = exported(record(kernel="forward", layers=layers))["benchmarks"]
    assert (one["group"], one["stats"]["min"], one["stats"]["rounds"]) == ("forward", 1.0, 2)


def test_a_cell_without_a_time_is_reported() -> None:
    found = exported(record(status="timeout"), record(hidden=[9], measures={"epoch_seconds": 1.0}))
    assert [one["name"] for one in found["benchmarks"]] == ["demo[9-sequential]"]
    assert found["left_out"][0]["statuses"] == ["timeout"]


def test_machine_and_commit_come_from_the_manifest() -> None:
    machine = {"id": "ab12", "cpu": "Some CPU", "cores": 4}
    found = exported(machine=machine, git={"commit": "abc", "dirty": True}, started="2026-01-02")
    assert found["machine_info"]["node"] == "ab12"
    assert found["machine_info"]["cpu"] == {"brand_raw": "Some CPU", "count": 4}
    assert (found["commit_info"]["id"], found["commit_info"]["dirty"]) == ("abc", True)
    assert (found["datetime"], found["benchmarks"]) == ("2026-01-02", [])
