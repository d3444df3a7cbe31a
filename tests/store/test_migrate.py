"""Stores of every past schema: read as they are, brought up to date, and never read by the old."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.report.markdown import report
from sparsebench.store.export_columns import epochs_frame, run_frame
from sparsebench.store.merge import migrate
from sparsebench.store.record import RECORD_FORMAT
from sparsebench.store.store import STORE_SCHEMA, Store
from sparsebench.store.verify import verify

Golden = Callable[..., Path]
SCHEMAS = range(1, STORE_SCHEMA + 1)


def content(store: Path) -> dict[str, bytes]:
    files = (file for file in sorted(store.rglob("*")) if file.is_file())
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


def formats(store: Path) -> list[int]:
    return [json.loads(f.read_text())["format"] for f in store.glob("trials/*/*/*/outcome.json")]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_store_of_any_schema_is_read_and_not_changed(
    golden: Golden, tmp_path: Path, schema: int
) -> None:
    path = golden(schema)
    before = content(path)
    store = Store(path)
    first, second = (store.run(run) for run in store.runs())
    assert [str(r.status) for r in first.records] == ["ok", "diverged"]
    assert [str(r.status) for r in second.records] == ["ok", "diverged", "interrupted"]
    assert second.records[2].detail == "its supervisor was gone before it ended"
    assert run_frame(second)["status"].tolist() == ["ok", "diverged", "interrupted"]
    assert len(epochs_frame(second)) == 4
    assert "learning_rate" in report([second], tmp_path / "report")
    verdict = verify(store)
    assert [f.severity for f in verdict.findings] == ["note", "note"]
    assert dict(verdict.checked) | {"files": 0} == {
        "trials": 3, "attempts": 3, "records": 2, "runs": 2, "files": 0
    }  # fmt: skip
    assert content(path) == before


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_first_write_raises_the_schema_and_nothing_else(
    golden: Golden, trial: Trial, schema: int
) -> None:
    path = golden(schema)
    records = [file for file in content(path) if file.endswith("outcome.json")]
    before = content(path)
    Store(path).begin(trial)
    assert json.loads((path / "store.json").read_text()) == {"schema": STORE_SCHEMA}
    assert {name: content(path)[name] for name in records} == {n: before[n] for n in records}
    assert len(Store(path).run("latest").records) == 3


@pytest.mark.parametrize("schema", SCHEMAS)
def test_migrating_is_complete_and_changes_nothing_twice(golden: Golden, schema: int) -> None:
    path = golden(schema)
    before = [record.to_json() for record in Store(path).run("latest").records]
    done = migrate(Store(path))
    assert (done.schema, done.damaged) == (STORE_SCHEMA, ())
    assert (done.records, done.current) == ((2, 0) if schema < 2 else (0, 2))
    assert formats(path) == [RECORD_FORMAT] * 2
    assert [record.to_json() for record in Store(path).run("latest").records] == before
    after = content(path)
    assert migrate(Store(path)).records == 0
    assert content(path) == after
    assert not verify(Store(path)).damaged


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_migration_that_is_stopped_goes_on(
    golden: Golden, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = golden(1)
    real, calls = getattr(os, call), 0

    def stops(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(os, call, stops)
    with pytest.raises(KeyboardInterrupt):
        migrate(Store(path))
    monkeypatch.undo()
    assert not verify(Store(path)).damaged
    migrate(Store(path))
    assert formats(path) == [RECORD_FORMAT] * 2


def test_what_is_damaged_is_left_and_reported(golden: Golden) -> None:
    path = golden(1)
    file = next(path.glob("trials/*/*/*/outcome.json"))
    file.write_text("{")
    done = migrate(Store(path))
    assert done.damaged == (str(file.relative_to(path)),)
    assert (done.records, file.read_text()) == (1, "{")


def test_a_store_from_the_future_is_refused(golden: Golden) -> None:
    path = golden(2)
    (path / "store.json").write_text('{"schema": 3}')
    with pytest.raises(StoreError, match=r"has store schema 3; .* install a newer one"):
        Store(path)


def test_a_store_that_a_newer_one_has_raised_meanwhile_is_not_written(
    golden: Golden, trial: Trial
) -> None:
    store = Store(golden(2))
    (store.path / "store.json").write_text('{"schema": 3}')
    with pytest.raises(StoreError, match="install a newer one"):
        store.begin(trial)
    assert store.attempts(trial.id) == []


def test_nothing_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a store"):
        migrate(Store(tmp_path / "none"))
