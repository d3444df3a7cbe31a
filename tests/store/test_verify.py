"""Every kind of damage is found, and what a killed process leaves is no damage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsebench.store.store import Store
from sparsebench.store.verify import remove_leftovers, verify

Golden = Callable[..., Path]
DEAD = 2**22 + 1
"""No process has that number: it is above the largest."""


def outcome(store: Path) -> Path:
    """That of the trial that ended well."""
    return next(f for f in store.glob("trials/*/*/*/outcome.json") if '"ok"' in f.read_text())


def change(file: Path, **given: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | given))


def first_run(store: Path) -> Path:
    return min((store / "runs").iterdir())


def rename_trial(store: Path) -> None:
    folder = outcome(store).parent.parent
    target = store / "trials" / "00" / ("00" + folder.name[2:])
    target.parent.mkdir()
    shutil.copytree(folder, target)


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (lambda s: outcome(s).write_text("{"), "outcome.json: cannot be read"),
    "empty": (lambda s: outcome(s).write_text(""), "outcome.json: cannot be read"),
    "NaN": (lambda s: outcome(s).write_text("NaN"), "NaN is not JSON"),
    "deep": (lambda s: outcome(s).write_text("[" * 10**5), "nested too deeply"),
    "huge": (lambda s: change(outcome(s), attempt=10**30), "a number is too large"),
    "digits": (lambda s: outcome(s).write_text("9" * 5000), "cannot be read"),
    "no text": (lambda s: outcome(s).write_bytes(b'{"a": "\xff"}'), "invalid unicode code point"),
    "half": (lambda s: change(outcome(s), detail="\ud800"), "it is not JSON"),
    "status": (
        lambda s: change(outcome(s), status="fine"),
        "unknown status 'fine'. Known",
    ),
    "key": (lambda s: change(outcome(s), measures=[]), "measures: expected an object"),
    "measure": (lambda s: change(outcome(s), measures={"a": "b"}), "a: expected a number"),
    "number": (lambda s: change(outcome(s), attempt=7), "it is of attempt 7"),
    "future": (lambda s: change(outcome(s), format=9), "record format 9 is not known"),
    "trial": (rename_trial, "is of trial"),
    "spec": (lambda s: change(outcome(s).with_name("spec.json"), trial=3), "trial: expected"),
    "no spec": (lambda s: outcome(s).with_name("spec.json").unlink(), "spec.json: is missing"),
    "line": (
        lambda s: outcome(s).with_name("epochs.jsonl").write_text('{"a"\n{"epoch": 1}\n'),
        "epochs.jsonl: line 1",
    ),
    "archive": (lambda s: flip_a_byte(outcome(s).with_name("model.npz")), "model.npz"),
    "link": (lambda s: (outcome(s).parent / "mem.csv.old").symlink_to("/etc/passwd"), "a link"),
    "pipe": (lambda s: os.mkfifo(outcome(s).with_name("x")), "not a regular file"),
    "stray": (lambda s: (s / "thesis.tex").touch(), "does not belong into a store"),
    "shelf": (lambda s: (s / "trials" / "xyz").mkdir(), "does not belong there"),
    "attempt": (lambda s: outcome(s).parent.rename(outcome(s).parent.with_name("01")), "01: does"),
    "manifest": (
        lambda s: (first_run(s) / "manifest.json").write_text("[]"),
        "expected an object",
    ),
    "of another": (lambda s: change(first_run(s) / "manifest.json", run="x"), "it is of run 'x'"),
    "suite": (lambda s: (first_run(s) / "suite.toml").write_text("a = 1"), "has been changed"),
    "no suite": (lambda s: (first_run(s) / "suite.toml").unlink(), "suite.toml: is missing"),
    "gone": (lambda s: shutil.rmtree(outcome(s).parent), "which is not there"),
    "escape": (
        lambda s: (first_run(s) / "events.jsonl").write_text(
            '{"event": "began", "trial": "../../../../etc", "attempt": 1}\n'
        ),
        "expected a trial's id, found '../../../../etc'",
    ),
    "unplanned": (
        lambda s: (first_run(s) / "events.jsonl").write_text(
            '{"event": "began", "trial": "0123456789abcdef", "attempt": 1}\n'
        ),
        "which the run did not plan",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(golden: Golden, name: str) -> None:
    path = golden(2)
    damage, complaint = DAMAGE[name]
    damage(path)
    found = verify(Store(path)).damaged
    assert [f"{f.path}: {f.what}" for f in found if complaint in f"{f.path}: {f.what}"]
    assert all(f.next for f in found)
    assert all("\n" not in f.what for f in found)


def leave_scratch(store: Path) -> None:
    (outcome(store).parent / f"outcome.json.{DEAD}.tmp").write_text("{")
    (store / f"store.json.{DEAD}.tmp").touch()
    (outcome(store).parent.parent / f"9.{DEAD}.tmp").mkdir()


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


NOTES: dict[str, Callable[[Path], Any]] = {
    "scratch": leave_scratch,
    "begun": lambda s: (outcome(s).parent.parent / "2").mkdir(),
    "no manifest": lambda s: (s / "runs" / "20260101T000000.000000Z-x-000000").mkdir(),
    "torn": lambda s: append(first_run(s) / "events.jsonl", '{"event": "rec'),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_a_killed_process_leaves_is_a_note(golden: Golden, name: str) -> None:
    path = golden(2)
    before = len(verify(Store(path)).findings)
    NOTES[name](path)
    verdict = verify(Store(path))
    assert not verdict.damaged
    assert len(verdict.findings) > before
    assert len(Store(path).run("latest").records) == 3


def test_rebuilding_removes_what_dead_writers_left_and_nothing_else(golden: Golden) -> None:
    path = golden(2)
    files = sorted(path.rglob("*"))
    leave_scratch(path)
    alive = outcome(path).parent / f"outcome.json.{os.getpid()}.tmp"
    alive.touch()
    assert remove_leftovers(path) == 3
    assert sorted(path.rglob("*")) == sorted([*files, alive])


def test_a_damaged_trial_is_a_row_and_the_others_stay(golden: Golden) -> None:
    path = golden(2)
    file = outcome(path)
    good = {record.trial.id: record for record in Store(path).run("latest").records}
    file.write_text("{")
    spec_known = Store(path).run("latest").records
    assert [str(r.status) for r in spec_known] == ["interrupted", "diverged", "interrupted"]
    assert spec_known[0].trial == good[spec_known[0].trial.id].trial
    assert f"damaged: {file} cannot be read" in spec_known[0].detail
    file.with_name("spec.json").write_text("[")
    lost = Store(path).run("latest").records
    assert [r.trial.id for r in lost] == list(good)
    assert [r.status for r in lost] == [r.status for r in spec_known]
    shutil.rmtree(file.parent)
    gone = Store(path).run("latest").records
    assert gone[0].detail == f"damaged: {file.parent} is not there"
    assert [str(r.status) for r in gone] == ["interrupted", "diverged", "interrupted"]


def test_a_link_out_of_the_store_is_not_followed(golden: Golden, tmp_path: Path) -> None:
    path = golden(2)
    folder = outcome(path).parent
    outside = Path(shutil.move(folder, tmp_path / "outside"))
    folder.symlink_to(outside)
    [record, *_] = Store(path).run("latest").records
    assert (record.status, record.cause) == ("interrupted", "damaged")
    assert "leads out of the store" in record.detail


def test_a_store_that_cannot_be_written_is_read(golden: Golden) -> None:
    path = golden(2)
    for folder, _, files in os.walk(path):
        for file in files:
            (Path(folder) / file).chmod(0o444)
        Path(folder).chmod(0o555)
    try:
        assert not verify(Store(path)).damaged
        assert len(Store(path).run("latest").records) == 3
        assert not (path / "store.lock").exists()
    finally:
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o755)
