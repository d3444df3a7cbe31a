"""Baselines: as good as the run they were made of, and checked before they are believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from records import FakeRun, run_of
from records import cell_trial as trial
from records import measured as record

from sparsebench.analysis import baseline
from sparsebench.analysis.baseline import from_json, to_json
from sparsebench.analysis.comparison import compare
from sparsebench.analysis.comparison_sides import side, side_of
from sparsebench.analysis.gates import default_gates
from sparsebench.errors import StoreError
from sparsebench.report.comparison import as_text
from sparsebench.suite.labels import label


def round_trip(run: Any) -> Any:
    return from_json(json.loads(json.dumps(to_json(run, "main"), allow_nan=False)))


def test_a_baseline_compares_as_its_run_does() -> None:
    rng = np.random.default_rng(1)
    base, head = run_of(rng), run_of(rng, memory=1.1, accuracy=-0.01)
    base[3] = record(base[3].trial, "timeout", cause="limit")
    base[7] = record(base[7].trial, "skipped")
    run: Any = FakeRun(base, manifest={"suite": "demo", "trials": []})
    gates = default_gates()
    first = compare(side(run), side_of(head), gates)
    again = compare(round_trip(run).side(Path("b.json")), side_of(head), gates)
    assert as_text(again).replace("baseline main of ", "") == as_text(first)
    assert [one.cell for one in again.findings] == [one.cell for one in first.findings]


def test_circumstances_and_plans_are_kept() -> None:
    settings = {"memory_method": "VmHWM", "exact": True, "threading_layer": "omp", "step": "layers"}
    one = record(
        trial(), measures={"stored_bytes": 1, "test_loss": float("nan"), "odd": 3},
        settings={**settings, "blas": "/usr/lib/libblas.so"}, contended=True, debug=True,
        machine={"id": "m1", "cpu": "Some"}, noise={"marks": ["load"], "steal": 1},
        fingerprint={"code": "c0de", "versions": {"numpy": "2"}}, log_tail="/home/me/x",
        detail="at /home/me/x", data_fingerprint="f00d",
    )  # fmt: skip
    missing = trial(seed=9).id
    planned = [{"id": one.trial.id}, {"id": missing}]
    run: Any = FakeRun([one], manifest={"suite": "demo", "trials": planned})
    text = json.dumps(to_json(run, "main"))
    assert "/" not in text
    found = round_trip(run)
    (kept,) = found.records
    assert kept.settings == settings
    assert (kept.contended, kept.debug, kept.machine) == (True, True, {"id": "m1"})
    assert kept.measures == {"stored_bytes": 1, "odd": 3}
    assert kept.fingerprint == {"code": "c0de", "versions": {"numpy": "2"}}
    assert (kept.noise, kept.data_fingerprint) == ({"marks": ["load"]}, "f00d")
    assert found.missing == {missing}
    assert kept.trial.id == one.trial.id
    assert label(kept.trial) == label(one.trial, seed=False)


def spoil(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


TRIAL = ("cells", 0, "trials", 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (spoil("schema", value=3), "baseline of schema 3; this sparsebench reads 1 and 2"),
        (spoil("schema", value=True), "baseline of schema True"),
        (spoil("kind", value="x"), "it is not a baseline; make one with"),
        (spoil("cells", value={}), "cells: expected a list"),
        (spoil("missing", value=["../x"]), "expected a trial's id"),
        (spoil(*TRIAL, "status", value="fine"), "status: unknown status 'fine'"),
        (spoil(*TRIAL, "status", value=[]), "status: expected 'ok', "),
        (spoil(*TRIAL, "measures", value={"net_peak_bytes": "1"}), "expected a number"),
        (spoil(*TRIAL, "seed", value=-1), "seed: expected 0 or more"),
        (spoil(*TRIAL, "seed", value=7), "not that of its checksum, so it was edited or damaged"),
        (spoil(*TRIAL, "measures", "stored_bytes", value=2), "make it again: sparsebench baseline"),
        (spoil(*TRIAL, "measures", value={"stored_byte": 1}), "not that of its checksum"),
        (spoil("metrics", value=[{"name": "stored_bytes"}]), "not that of its checksum"),
        (spoil("checksum", value="0" * 32), "not that of its checksum"),
        (spoil("schema", value=1), "not that of its checksum"),
    ],
)
def test_what_is_no_baseline_is_one_line(
    tmp_path: Path, change: Callable[[Any], None], complaint: str
) -> None:
    run: Any = FakeRun([record(trial(), measures={"stored_bytes": 1})])
    data = to_json(run, "main")
    change(data)
    file = tmp_path / "main.json"
    file.write_text(json.dumps(data))
    with pytest.raises(StoreError, match=complaint) as raised:
        baseline.read(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (spoil(*TRIAL, "seed", value=7), "its spec has been changed"),
        (spoil("cells", 0, "spec", "epochs", value=99), "its spec has been changed"),
        (spoil("cells", 0, "spec", "more", value=1), "more: unknown key"),
        (spoil("cells", 0, "spec", "model", value=1), "expected an object"),
    ],
)
def test_a_spec_is_checked_under_a_good_checksum_too(
    change: Callable[[Any], None], complaint: str
) -> None:
    run: Any = FakeRun([record(trial(), measures={"stored_bytes": 1})])
    data = to_json(run, "main")
    change(data)
    with pytest.raises(ValueError, match=complaint):
        from_json({**data, "checksum": baseline.checksum(data)})


def test_the_checksum_is_of_the_content_and_not_of_its_layout(tmp_path: Path) -> None:
    run: Any = FakeRun([record(trial(), measures={"stored_bytes": 1, "test_loss": 0.1})])
    (tmp_path / "main.json").write_text(json.dumps(to_json(run, "main"), sort_keys=True, indent=8))
    assert baseline.read(tmp_path / "main.json").note == ""


def test_a_baseline_from_before_checksums_is_read_with_a_note() -> None:
    records = [record(trial(), measures={"stored_bytes": 1})]
    run: Any = FakeRun(records)
    data = {**to_json(run, "main"), "schema": 1}
    del data["checksum"]
    found = compare(from_json(data).side(Path("b.json")), side_of(records), default_gates())
    assert (
        "BASE: baseline main has no checksum (schema 1), so edits of it are not noticed; make it "
        "again: sparsebench baseline set RUN NAME"
    ) in found.notes


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"kind": NaN}', b"[" * 10_000])
def test_what_is_no_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "main.json"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        baseline.read(file)


@pytest.mark.parametrize("name", ["latest", "../x", "a/b", "", ".x", "-x", "x" * 101])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    store: Any = SimpleNamespace(path=tmp_path)
    with pytest.raises(StoreError, match="expected letters, digits"):
        baseline.file_of(store, name)


def test_a_run_without_records_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no record yet"):
        baseline.keep(FakeRun([]), "main", tmp_path / "b.json")  # type: ignore[arg-type]
    assert not (tmp_path / "b.json").exists()
