from __future__ import annotations

import errno
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebench.core.files import append_line, jsonable, read_lines, write_atomically
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.store.record import Record
from sparsebench.store.store import RunState, Store, open_run_folder, planned

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep(store: Store, trial: Trial, status: Status = Status.OK, **given: Any) -> Record:
    attempt = store.begin(trial)
    record = Record(trial=trial, attempt=attempt.number, status=status, **given)
    store.finish(attempt, record)
    return record


def test_a_record_comes_back_as_it_was(store: Store, trial: Trial) -> None:
    measures = {"train_loss": float("inf"), "connections": 12, "test_accuracy": 0.1 + 0.2}
    record = keep(store, trial, measures=measures)
    assert Store(store.path).records(trial.id) == [record]
    assert (store.folder(record) / "outcome.json").is_file()
    assert json.loads((store.path / "store.json").read_text()) == {"schema": 2}


def test_attempts_are_counted(store: Store, trial: Trial) -> None:
    keep(store, trial, Status.ERROR)
    keep(store, trial)
    assert [(r.attempt, r.status) for r in store.records(trial.id)] == [(1, "error"), (2, "ok")]
    assert store.records("0" * 16) == []


def test_numpy_scalars_are_numbers(store: Store, trial: Trial) -> None:
    given = {"loss": np.float64("nan"), "accuracy": np.float32(0.5), "connections": np.int64(3)}
    keep(store, trial, measures=given, settings={"ok": np.bool_(True), "at": np.array(2)})
    [record] = store.records(trial.id)
    assert math.isnan(record.measures.pop("loss"))
    assert record.measures == {"accuracy": 0.5, "connections": 3}
    assert record.settings == {"ok": True, "at": 2}
    assert jsonable([np.float64("-inf"), np.float32("inf")]) == ["-inf", "inf"]


def test_what_only_the_attempt_needed_goes(store: Store, trial: Trial) -> None:
    attempt = store.begin(trial)
    for name in ("result.json", "progress.json", "epochs.jsonl"):
        (attempt.folder / name).write_text("{}")
    store.finish(attempt, Record(trial=trial, attempt=1, status=Status.OK))
    left = {file.name for file in attempt.folder.iterdir()}
    assert left == {"spec.json", "outcome.json", "epochs.jsonl"}


def test_an_attempt_under_way_has_no_record_yet(store: Store, trial: Trial) -> None:
    store.begin(trial)
    assert store.records(trial.id) == []


@pytest.mark.parametrize("changed", [{"pid": 2**22 + 1, "start": 1}, {"boot": "another"}])
def test_an_attempt_of_a_dead_process_is_interrupted(
    store: Store, trial: Trial, changed: dict[str, Any]
) -> None:
    attempt = store.begin(trial, fingerprint={"code": "c"})
    spec = json.loads((attempt.folder / "spec.json").read_text())
    spec["process"] |= changed
    (attempt.folder / "spec.json").write_text(json.dumps(spec))
    (attempt.folder / "outcome.json.123.tmp").write_text('{"trial"')
    [record] = store.records(trial.id)
    assert (record.status, record.attempt, record.fingerprint) == ("interrupted", 1, {"code": "c"})


def test_the_number_of_a_dead_process_may_be_anothers(store: Store, trial: Trial) -> None:
    attempt = store.begin(trial)
    spec = json.loads((attempt.folder / "spec.json").read_text())
    assert spec["process"]["pid"] == os.getpid()
    spec["process"]["start"] = 1
    (attempt.folder / "spec.json").write_text(json.dumps(spec))
    assert [record.status for record in store.records(trial.id)] == ["interrupted"]


def test_a_folder_without_spec_is_passed_over(store: Store, trial: Trial) -> None:
    keep(store, trial)
    (store.path / "trials" / trial.id[:2] / trial.id / "2").mkdir()
    (store.path / "trials" / trial.id[:2] / trial.id / "notes").mkdir()
    assert [record.attempt for record in store.records(trial.id)] == [1]
    assert store.begin(trial).number == 3


def test_a_trial_is_found_by_the_start_of_its_id(store: Store, trial: Trial) -> None:
    other = replace(trial, seed=1)
    keep(store, trial)
    keep(store, other)
    assert [r.trial.id for r in store.find_trial(trial.id[:9])] == [trial.id]
    with pytest.raises(NothingMatched):
        store.find_trial("")
    with pytest.raises(NothingMatched, match="no trial 'zz'"):
        store.find_trial("zz")


def test_a_run_has_the_records_it_chose_with_its_own_labels(store: Store, trial: Trial) -> None:
    old = keep(store, trial)
    other = replace(trial, seed=1)
    labelled = replace(trial, suite="mine", axes={"x": 1})
    journal = store.open_run("mine", {"trials": planned([labelled, other])}, "text")
    journal.recorded(old, reused=True)
    attempt = store.begin(other)
    journal.began(attempt)
    keep(store, trial, Status.ERROR)  # of another run, later
    run = store.run("latest")
    assert (run.id, run.suite_text) == (journal.id, "text")
    assert run.manifest["suite"] == "mine"
    [record] = run.records
    assert (record.status, record.trial.axes) == ("ok", {"x": 1})
    assert store.trial_id("x=1") == trial.id
    assert run.state() == RunState(2, {"ok": 1}, {other.id: 1}, "running")
    assert run.folder(record) == store.folder(old)
    store.finish(attempt, Record(trial=other, attempt=1, status=Status.DIVERGED))
    ended = store.run(run.id)
    assert [r.status for r in ended.records] == ["ok", "diverged"]
    assert (ended.state().word, ended.state().ended) == ("stopped", 2)
    journal.event("ended")
    assert ended.state().word == "over"
    journal.event("ended", exit_code=130)
    assert ended.state().word == "interrupted"


def test_a_damaged_record_is_not_counted_as_it_ended(store: Store, trial: Trial) -> None:
    other = replace(trial, seed=1)
    journal = store.open_run("mine", {"trials": planned([trial, other])})
    for one in (trial, other):
        journal.recorded(keep(store, one))
    journal.event("ended")
    file = store.attempt_folder(trial.id, 1) / "outcome.json"
    file.write_text(file.read_text()[:50])
    state = store.run("latest").state()
    assert (state.counts, state.ended, state.word) == ({"damaged": 1, "ok": 1}, 2, "over")
    (problem,) = state.damaged
    assert problem.startswith(f"{file} cannot be read: it is not JSON")
    shutil.rmtree(file.parent)
    assert store.run("latest").state().damaged == (f"{file.parent} is not there",)


def test_runs_are_found_by_id_start_latest_and_folder(store: Store) -> None:
    first = store.open_run("one", {"trials": []})
    second = store.open_run("two", {"trials": []})
    assert store.runs() == [first.id, second.id]
    assert store.run("latest").id == second.id
    assert store.run(first.id[:-3]).id == first.id
    assert open_run_folder(first.folder).id == first.id
    assert store.run(str(first.folder)).id == first.id
    assert open_run_folder(store.path).id == second.id
    with pytest.raises(StoreError, match=r"no run 'three' .* The latest: "):
        store.run("three")
    with pytest.raises(StoreError, match="is not one run"):
        store.run(first.id[:4])
    with pytest.raises(StoreError, match="neither a run nor a store"):
        open_run_folder(store.path.parent)


def test_a_log_shows_control_characters_and_does_not_send_them(store: Store, trial: Trial) -> None:
    attempt = store.begin(trial)
    (attempt.folder / "stdout.log").write_bytes(b"one\x1b]0;owned\x07\r\n\tt\xff\n")
    said = store.log(trial.id, 1, "stdout.log")
    assert said == "one\\x1b]0;owned\\x07\n        t\ufffd\n"
    assert store.log(trial.id, 1, "stderr.log") == ""


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.runs() == []
    assert store.trial_ids() == []
    with pytest.raises(StoreError, match="The latest: none"):
        store.run("latest")
    assert not store.path.exists()


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "epochs.jsonl"
    append_line(file, {"epoch": 1, "train_loss": float("nan")})
    append_line(file, {"epoch": 2}, durable=True)
    with file.open("a") as stream:
        stream.write('{"epoch": 3, "trai')
    assert list(read_lines(file)) == [{"epoch": 1, "train_loss": "nan"}, {"epoch": 2}]
    assert list(read_lines(tmp_path / "none.jsonl")) == []


@pytest.mark.parametrize("content", ["{", '{"schema": "x"}'])
def test_a_damaged_marker_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(StoreError) as raised:
        Store(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/store.json cannot be read: ")
    assert 'restore it from a copy, or write {"schema": 2} into it' in str(raised.value)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"schema": 3}')
    with pytest.raises(StoreError, match="store schema 3; this sparsebench reads schemas up to 2"):
        Store(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_a_broken_marker_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, trial: Trial) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match="is not a store, and not empty"):
        Store(tmp_path).begin(trial)


def test_two_runs_may_make_the_store_at_once(
    store: Store, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.listdir

    def other_is_faster(folder: Any) -> list[str]:
        if Path(folder) == store.path:
            monkeypatch.undo()
            Store(store.path).begin(trial)
        return real(folder)

    monkeypatch.setattr(os, "listdir", other_is_faster)
    assert store.begin(trial).number == 2


def test_a_file_in_the_place_of_the_store(tmp_path: Path, trial: Trial) -> None:
    file = tmp_path / "store"
    file.touch()
    with pytest.raises(StoreError, match="a file stands where its folder should be"):
        Store(file).begin(trial)


REASONS = [
    (errno.ENOSPC, "the disk is full"),
    (errno.EROFS, "it is read-only"),
    (errno.EACCES, "no permission"),
    (errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize("call", ["write", "replace", "fsync"])
@pytest.mark.parametrize(("code", "reason"), REASONS)
def test_a_store_that_cannot_be_written_is_one_line(
    store: Store, trial: Trial, monkeypatch: pytest.MonkeyPatch, call: str, code: int, reason: str
) -> None:
    record = keep(store, trial)
    attempt = store.begin(trial)

    def fails(*given: Any, **more: Any) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StoreError, match=rf"cannot write to the store .*: {reason}") as caught:
        store.finish(attempt, record)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert [r.attempt for r in store.records(trial.id)] == [1]
    assert {file.name for file in attempt.folder.iterdir()} == {"spec.json"}


def test_a_replaced_file_is_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")

    def half(descriptor: int, data: bytes, real: Any = os.write) -> int:
        return int(real(descriptor, data[:1]))

    monkeypatch.setattr(os, "write", half)
    write_atomically(file, "new")
    assert file.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("record_*.json")), ids=lambda f: f.stem)
def test_records_of_every_format_are_read(file: Path) -> None:
    record = Record.from_json(json.loads(file.read_text()))
    assert record.trial.id == "322be8ab46ca3725"
    assert (record.status, record.cause) == ("diverged", "")
    assert record.measures["train_loss"] != record.measures["train_loss"]
    assert Record.from_json(record.to_json()).to_json() == record.to_json()


def test_a_record_from_the_future_is_refused(store: Store, trial: Trial) -> None:
    record = keep(store, trial)
    file = store.folder(record) / "outcome.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(StoreError, match="record format 99 is not known"):
        store.records(trial.id)
