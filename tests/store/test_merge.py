"""Stores of two machines as one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.store.merge import Merged, merge
from sparsebench.store.record import Record
from sparsebench.store.store import Store, planned
from sparsebench.store.verify import verify

Golden = Callable[..., Path]


def content(store: Path) -> dict[str, bytes]:
    files = (f for f in sorted(store.rglob("*")) if f.is_file() and f.name != "store.lock")
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


def one_run(path: Path, *trials: Trial, status: Status = Status.OK) -> Store:
    """A store with a run of these trials."""
    store = Store(path)
    journal = store.open_run("odd", {"trials": planned(trials)}, "name = 'odd'\n")
    for trial in trials:
        attempt = store.begin(trial, run=journal.id)
        journal.began(attempt)
        record = Record(trial=trial, attempt=attempt.number, status=status, detail=str(path.name))
        store.finish(attempt, record)
        journal.recorded(record)
    return store


@pytest.mark.parametrize("schema", [1, 2])
def test_a_merged_run_is_like_one_of_the_stores_own(
    golden: Golden, tmp_path: Path, schema: int
) -> None:
    source = golden(schema)
    before = content(source)
    assert merge([source], tmp_path / "all") == Merged(3, 0, 2, 0)
    mine, theirs = Store(tmp_path / "all"), Store(source)
    assert mine.runs() == theirs.runs()
    for run in mine.runs():
        both = ([r.to_json() for r in store.run(run).records] for store in (mine, theirs))
        assert next(both) == next(both)
        assert mine.run(run).manifest == theirs.run(run).manifest
        assert mine.run(run).suite_text == theirs.run(run).suite_text
    assert not verify(mine).damaged
    assert mine.schema == 2
    assert content(source) == before
    names = {Path(name).name for name in content(source)} - {"store.json"}
    assert {Path(name).name for name in content(mine.path)} - {"store.json"} == names


def test_merging_twice_changes_nothing(golden: Golden, tmp_path: Path) -> None:
    source, into = golden(1), tmp_path / "all"
    merge([source], into)
    before = content(into)
    assert merge([source], into) == Merged(0, 3, 0, 2)
    assert content(into) == before


def test_taken_numbers_give_way_and_events_follow(trial: Trial, tmp_path: Path) -> None:
    other = replace(trial, seed=1)
    ours = one_run(tmp_path / "ours", trial, status=Status.ERROR)
    theirs = one_run(tmp_path / "theirs", trial, other)
    more = one_run(tmp_path / "more", trial)
    assert merge([theirs.path, more.path], ours.path) == Merged(3, 0, 2, 0)
    assert [(r.attempt, r.detail) for r in ours.records(trial.id)] == [
        (1, "ours"), (2, "theirs"), (3, "more")
    ]  # fmt: skip
    [run] = theirs.runs()
    assert [(r.attempt, r.detail) for r in ours.run(run).records] == [(2, "theirs"), (1, "theirs")]
    assert not verify(ours).findings
    before = content(ours.path)
    assert merge([more.path, theirs.path], ours.path) == Merged(0, 3, 0, 2)
    assert content(ours.path) == before


def test_a_run_that_went_on_is_completed(trial: Trial, tmp_path: Path) -> None:
    store = Store(tmp_path / "source")
    journal = store.open_run("odd", {"trials": planned([trial])}, "")
    attempt = store.begin(trial)
    journal.began(attempt)
    merge([store.path], tmp_path / "all")
    merged = Store(tmp_path / "all")
    assert merged.run("latest").records == []
    record = Record(trial=trial, attempt=1, status=Status.OK)
    store.finish(attempt, record)
    journal.recorded(record)
    assert merge([store.path], merged.path) == Merged(1, 0, 1, 0)
    assert merged.run("latest").records == [record]
    assert merged.attempts(trial.id) == [1]


def test_one_id_is_one_run(golden: Golden, trial: Trial, tmp_path: Path) -> None:
    one, two, into = golden(2, "one"), golden(2, "two"), tmp_path / "all"
    manifest = next(two.glob("runs/*/manifest.json"))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"title": "other"}))
    one_run(into, trial)
    before = content(into)
    with pytest.raises(StoreError, match="is there twice with different content; nothing was"):
        merge([one, two], into)
    assert content(into) == before


@pytest.mark.parametrize("damage", ["outcome.json", "spec.json", "manifest.json", "events.jsonl"])
def test_a_damaged_source_is_refused_before_anything_is_copied(
    golden: Golden, tmp_path: Path, damage: str
) -> None:
    source = golden(2)
    next(source.rglob(damage)).write_text("{\n{}\n")
    with pytest.raises(StoreError, match=damage):
        merge([source], tmp_path / "all")
    assert not (tmp_path / "all" / "trials").exists()


def test_what_is_missing_of_a_source_is_reported(golden: Golden, tmp_path: Path) -> None:
    source = golden(2)
    shutil.rmtree(next(source.glob("trials/*/*/1")))
    with pytest.raises(StoreError, match=r"names attempt 1 at trial .* which is not there"):
        merge([source], tmp_path / "all")


def test_only_regular_files_of_known_names_are_copied(golden: Golden, tmp_path: Path) -> None:
    source = golden(2)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = next(source.glob("trials/*/*/1/outcome.json")).parent
    (folder / "more.sh").write_text("#!/bin/sh")
    merge([source], tmp_path / "all")
    assert not list((tmp_path / "all").rglob("more.sh"))
    (folder / "stdout.log").unlink()
    (folder / "stdout.log").symlink_to(secret)
    with pytest.raises(StoreError, match="leads out of the store"):
        merge([source], tmp_path / "other")
    assert not any(b"secret" in text for text in content(tmp_path / "other").values())


def test_what_is_no_source_is_one_line(golden: Golden, tmp_path: Path) -> None:
    source = golden(2)
    with pytest.raises(StoreError, match="is not a store"):
        merge([tmp_path / "none"], tmp_path / "all")
    with pytest.raises(StoreError, match="is the store to merge into"):
        merge([source], source)


def test_a_merge_that_is_stopped_anywhere_is_completed_by_the_next(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = golden(1)
    merge([source], tmp_path / "whole")
    wanted = content(tmp_path / "whole")
    for number in range(1, 100):
        into = tmp_path / f"all-{number}"
        if not stopped_at(number, monkeypatch, lambda into=into: merge([source], into)):
            break
        assert not verify(Store(into)).damaged
        merge([source], into)
        assert content(into) == wanted
    assert number > 10


def stopped_at(number: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> bool:
    """Do it, as if killed at the given renaming or flushing: nothing is tidied up either."""
    calls = 0

    class Killed(BaseException):
        pass

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= number:
                raise Killed
            return real(*given, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "fsync"):
            patch.setattr(os, name, dying(getattr(os, name)))
        patch.setattr(shutil, "rmtree", lambda *given, **more: None)
        patch.setattr(Path, "unlink", lambda *given, **more: None)
        try:
            work()
        except Killed:
            return True
    return False
