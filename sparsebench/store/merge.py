"""Stores of several machines become one, and records of older formats become new ones.

A source may come from anywhere: it is read with care. An attempt keeps its content and gets a
number that is free in the target.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import sync_folder, write_atomically, writing_to
from sparsebench.errors import StoreError
from sparsebench.store.attempts import OUTCOME, SPEC, read_outcome, read_spec
from sparsebench.store.json_files import Damaged, open_regular, read_lines, read_object, reading
from sparsebench.store.models import EVENT, Json
from sparsebench.store.record import RECORD_FORMAT, upgrade
from sparsebench.store.store import STORE_SCHEMA, Store, StoredRun
from sparsebench.store.verify import remove_leftovers

Numbers = Mapping[tuple[str, int], int]
"""The number that an attempt has after the merge, by trial and number before."""

COPIED = ("epochs.jsonl", "mem.csv", "stdout.log", "stderr.log", "checkpoint.npz", "model.npz")
"""The other files that an attempt may have left. Nothing of any other name is copied."""


@dataclass(frozen=True)
class Merged:
    """How much was copied, and how much of it was there already."""

    attempts: int
    attempts_there: int
    runs: int
    runs_there: int


@dataclass(frozen=True)
class Migrated:
    """records  those that were rewritten; damaged: those that nobody can read"""

    schema: int
    records: int
    current: int
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class _RunFiles:
    """A run as it lies in a store."""

    manifest: Json
    suite: bytes
    events: Sequence[Json]

    def begins(self, other: _RunFiles) -> bool:
        """Whether the other is the same run at the same or a later point of its course. Merging
        renumbers attempts."""
        mine, theirs = [[_unnumbered(e) for e in run.events] for run in (self, other)]
        same = (self.manifest, self.suite) == (other.manifest, other.suite)
        return same and mine == theirs[: len(mine)]


@dataclass(frozen=True)
class _Content:
    """The data of an attempt but for its number. The spec names process and time, so that no two
    attempts have the same."""

    spec: Json
    outcome: Json | None

    def within(self, other: _Content) -> bool:
        """Whether the other is the same attempt, with the same outcome if this one has any."""
        return self.spec == other.spec and self.outcome in (None, other.outcome)


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Copy what `into` does not have. Every source is checked before anything is copied; after an
    interruption at any point, merging again completes it."""
    stores = [_source(path, into) for path in sources]
    target = Store(into)
    runs = [_runs_of(store) for store in stores]
    known = _runs_of(target)
    for found in runs:  # one id is one run, in all of them
        for run, files in found.items():
            other = known.setdefault(run, files)
            if not (files.begins(other) or other.begins(files)):
                raise StoreError(
                    f"run {run} is there twice with different content; nothing was merged. "
                    "Keep one of them: delete the folder of the other in runs/"
                )
    for store, found in zip(stores, runs):
        _check_source(store, found)
    with writing_to(target.path), target.locked():
        remove_leftovers(target.path)
    attempts = attempts_there = written = there = 0
    for store, found in zip(stores, runs):
        numbers = {}
        for trial, number, folder in store.all_attempts():
            if os.path.lexists(folder / SPEC):
                with writing_to(target.path):
                    numbers[trial, number], is_new = _transfer(target, trial, folder, store.root)
                attempts += is_new
                attempts_there += not is_new
        for run_id, files in found.items():
            is_new = _write_run(target, run_id, files, numbers)
            written += is_new
            there += not is_new
    return Merged(attempts, attempts_there, written, there)


def migrate(store: Store) -> Migrated:
    """Rewrite records of older formats, a file at a time; interrupted, it can be run again."""
    if store.schema is None:
        raise StoreError(f"{store.path} is not a store: it has no store.json")
    with writing_to(store.path):
        store.make()
    rewritten, current, damaged = 0, 0, []
    for _, _, folder in store.all_attempts():
        if not (file := folder / OUTCOME).exists():
            continue
        try:
            data = _outcome_data(file, store.root)
            is_current = read_object(file, store.root)["format"] == RECORD_FORMAT
        except Damaged:
            damaged.append(str(file.relative_to(store.path)))
            continue
        current += is_current
        if not is_current:
            rewritten += 1
            with writing_to(store.path):
                write_atomically(file, json.dumps(data))
    return Migrated(STORE_SCHEMA, rewritten, current, tuple(damaged))


def _source(path: Path, into: Path) -> Store:
    store = Store(path)
    if store.schema is None:
        raise StoreError(f"{path} is not a store: it has no store.json")
    if store.root == os.path.realpath(into):
        raise StoreError(f"{path} is the store to merge into; name another, or another --store")
    return store


def _runs_of(store: Store) -> dict[str, _RunFiles]:
    return {run: _files(StoredRun(store, run)) for run in store.runs()}


def _files(run: StoredRun) -> _RunFiles:
    """Damaged if any of them is; a last event that was cut off is no damage."""
    file = run.path / "events.jsonl"
    events, damaged, _ = read_lines(file, run.store.root, EVENT)
    if damaged:
        raise Damaged(f"{file} cannot be read: line {damaged[0][0]}: {damaged[0][1]}")
    return _RunFiles(run.manifest, run.suite_text.encode(), events)


def _check_source(store: Store, runs: Mapping[str, _RunFiles]) -> None:
    """Raises for any file that could not be copied, and for an attempt that is named but not
    there."""
    there = set()
    for trial, number, folder in store.all_attempts():
        if os.path.lexists(folder / SPEC):
            there.add((trial, number))
            _content_of(folder, store.root)
            for name in COPIED:
                if os.path.lexists(folder / name):
                    with reading(folder / name):
                        open_regular(folder / name, store.root).close()
    for run, files in runs.items():
        for event in files.events:
            if "attempt" in event and (event["trial"], event["attempt"]) not in there:
                raise StoreError(
                    f"{store.path}: run {run} names attempt {event['attempt']} at trial "
                    f"{event['trial']}, which is not there; see: sparsebench store verify"
                )


def _write_run(target: Store, run_id: str, files: _RunFiles, numbers: Numbers) -> bool:
    """Whether there was anything to write. The manifest comes last: it makes the run exist."""
    folder = target.path / "runs" / run_id
    if run_id in target.runs() and files.begins(_files(StoredRun(target, run_id))):
        return False
    lines = [
        event | {"attempt": numbers[event["trial"], event["attempt"]]}
        if "attempt" in event
        else event
        for event in files.events
    ]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    with writing_to(target.path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "suite.toml", files.suite)
        write_atomically(folder / "events.jsonl", text)
        write_atomically(folder / "manifest.json", json.dumps(files.manifest, indent=1))
    return True


def _transfer(store: Store, trial_id: str, source: Path, root: str) -> tuple[int, bool]:
    """The attempt's number in `store`, and whether it had to be copied.

    An attempt that is there already is not copied again; one that was copied while it was under
    way is completed.
    """
    wanted, there = _content_of(source, root), {}
    with store.locked():
        for number in store.attempts(trial_id):
            with contextlib.suppress(Damaged):
                content = _content_of(store.attempt_folder(trial_id, number), store.root)
                if wanted.within(content):
                    return number, False
                there[number] = content
        unfinished = (number for number, content in there.items() if content.within(wanted))
        number = next(unfinished, max(store.attempts(trial_id), default=0) + 1)
        _copy(wanted, source, root, store.trial_folder(trial_id) / str(number))
    return number, True


def _copy(content: _Content, source: Path, root: str, target: Path) -> None:
    """Into a temporary folder first, which one rename then puts in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    number = {"attempt": int(target.name)}
    try:
        scratch.mkdir()
        for name in COPIED:
            if os.path.lexists(source / name):
                with reading(source / name):
                    stream = open_regular(source / name, root)
                with stream, (scratch / name).open("xb") as copy:
                    shutil.copyfileobj(stream, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
        write_atomically(scratch / SPEC, json.dumps(content.spec | number))
        if content.outcome is not None:
            write_atomically(scratch / OUTCOME, json.dumps(content.outcome | number))
        if not target.exists():
            os.rename(scratch, target)
            sync_folder(target.parent)
            return
        for name in (*COPIED, OUTCOME):  # the outcome last: it says that the attempt has ended
            if (scratch / name).exists():
                os.replace(scratch / name, target / name)
        sync_folder(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _content_of(folder: Path, root: str) -> _Content:
    """Raises Damaged if the spec or the outcome is."""
    read_spec(folder / SPEC, root)
    spec = _unnumbered(read_object(folder / SPEC, root))
    if not os.path.lexists(folder / OUTCOME):
        return _Content(spec, None)
    return _Content(spec, _unnumbered(_outcome_data(folder / OUTCOME, root)))


def _outcome_data(file: Path, root: str) -> Json:
    """A sound record as data, in today's format."""
    read_outcome(file, root)
    data: Json = upgrade(read_object(file, root))
    return data


def _unnumbered(data: Json) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "attempt"}
