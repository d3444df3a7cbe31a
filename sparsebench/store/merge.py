"""Merges stores of several machines, and rewrites records of older formats.

A source store may come from anywhere, so it is validated. A copied attempt keeps its content and
gets a number that is free in the target.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sparsebench.core.files import sync_folder, write_atomically, writing_to
from sparsebench.errors import StoreError
from sparsebench.store.attempts import OUTCOME, SPEC, read_outcome, read_spec
from sparsebench.store.record import RECORD_FORMAT, upgrade
from sparsebench.store.safe_files import Damaged, open_regular, read_lines, read_object, reading
from sparsebench.store.schemas import EVENT, Json
from sparsebench.store.store import STORE_SCHEMA, Store, StoredRun
from sparsebench.store.verify import remove_leftovers

COPIED = ("epochs.jsonl", "mem.csv", "stdout.log", "stderr.log", "checkpoint.npz", "model.npz")
"""The other files that an attempt may have; nothing of another name is copied."""


@dataclass(frozen=True)
class Merged:
    """How many attempts and runs were copied, and how many (`_there`) the target had already."""

    attempts: int
    attempts_there: int
    runs: int
    runs_there: int


@dataclass(frozen=True)
class Migrated:
    """The result of `migrate`.

    schema   version of the store's layout now
    records  number of records that were rewritten
    current  number of records that had the current format already
    damaged  paths of records that cannot be read
    """

    schema: int
    records: int
    current: int
    damaged: tuple[str, ...]


class _Run(NamedTuple):
    """The files of a run in a store."""

    manifest: Json
    suite: str
    events: list[Json]

    def begins(self, other: _Run) -> bool:
        """Whether `other` is the same run at the same or a later point; attempt numbers are
        ignored."""
        mine, theirs = ([_unnumbered(event) for event in run.events] for run in (self, other))
        return self[:2] == other[:2] and mine == theirs[: len(mine)]


class _Attempt(NamedTuple):
    """The data of an attempt without its number: spec.json, and outcome.json if it has ended. The
    spec names process and time, so no two attempts are equal."""

    spec: Json
    outcome: Json | None

    def within(self, other: _Attempt) -> bool:
        """Whether `other` is the same attempt, with the same outcome if this one has any."""
        return self.spec == other.spec and self.outcome in (None, other.outcome)


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Copy into the store `into` the runs and attempts of the sources that it lacks. Every source
    is checked before anything is copied. After an interruption, merging again copies the rest."""
    stores = [Store(path) for path in sources]
    for path, store in zip(sources, stores):
        _require_store(store)
        if store.root == os.path.realpath(into):
            raise StoreError(f"{path} is the store to merge into; name another, or another --store")
    target = Store(into)
    runs = [{run: _read_run(store, run) for run in store.runs()} for store in stores]
    known = {run: _read_run(target, run) for run in target.runs()}
    for found in runs:  # one id is one run, in all of them
        for run_id, run in found.items():
            other = known.setdefault(run_id, run)
            if not (run.begins(other) or other.begins(run)):
                raise StoreError(
                    f"run {run_id} is there twice with different content; nothing was merged. "
                    "Keep one of them: delete the folder of the other in runs/"
                )
    attempts = [_check_source(store, found) for store, found in zip(stores, runs)]
    with writing_to(target.path), target.locked():
        remove_leftovers(target.path)
    new_attempts = new_runs = 0
    for store, found, own in zip(stores, runs, attempts):
        numbers = {}
        for trial, number in own:
            with writing_to(target.path):
                folder = store.attempt_folder(trial, number)
                numbers[trial, number], is_new = _transfer(target, trial, folder, store.root)
            new_attempts += is_new
        new_runs += sum(_write_run(target, run_id, run, numbers) for run_id, run in found.items())
    count, run_count = sum(map(len, attempts)), sum(map(len, runs))
    return Merged(new_attempts, count - new_attempts, new_runs, run_count - new_runs)


def migrate(store: Store) -> Migrated:
    """Rewrite records of older formats, one file at a time; after an interruption it can be run
    again."""
    _require_store(store)
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


def _require_store(store: Store) -> None:
    if store.schema is None:
        raise StoreError(f"{store.path} is not a store: it has no store.json")


def _read_run(store: Store, run_id: str) -> _Run:
    """Read the files of a run. Raises Damaged if one is damaged, but for a last event that was cut
    off."""
    run = StoredRun(store, run_id)
    file = run.path / "events.jsonl"
    events, damaged, _ = read_lines(file, store.root, EVENT)
    if damaged:
        raise Damaged(f"{file} cannot be read: line {damaged[0][0]}: {damaged[0][1]}")
    return _Run(run.manifest, run.suite_text, events)


def _check_source(store: Store, runs: Mapping[str, _Run]) -> list[tuple[str, int]]:
    """Return the attempts to copy, as (trial id, attempt number).

    Raises for any file that cannot be copied, and for an attempt that a run names but the store
    does not have.
    """
    there = []
    for trial, number, folder in store.all_attempts():
        if os.path.lexists(folder / SPEC):
            there.append((trial, number))
            _read(folder, store.root)
            for name in COPIED:
                if os.path.lexists(folder / name):
                    with reading(folder / name):
                        open_regular(folder / name, store.root).close()
    known = set(there)
    for run_id, run in runs.items():
        for event in run.events:
            if "attempt" in event and (event["trial"], event["attempt"]) not in known:
                raise StoreError(
                    f"{store.path}: run {run_id} names attempt {event['attempt']} at trial "
                    f"{event['trial']}, which is not there; see: sparsebench store verify"
                )
    return there


def _write_run(
    target: Store, run_id: str, run: _Run, numbers: Mapping[tuple[str, int], int]
) -> bool:
    """Write the run and return whether there was anything to write. The manifest comes last,
    because it makes the run exist.

    numbers  trial and old attempt number -> new attempt number
    """
    folder = target.path / "runs" / run_id
    if run_id in target.runs() and run.begins(_read_run(target, run_id)):
        return False
    lines = [
        event | {"attempt": numbers[event["trial"], event["attempt"]]}
        if "attempt" in event
        else event
        for event in run.events
    ]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    with writing_to(target.path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "suite.toml", run.suite)
        write_atomically(folder / "events.jsonl", text)
        write_atomically(folder / "manifest.json", json.dumps(run.manifest, indent=1))
    return True


def _transfer(store: Store, trial_id: str, source: Path, root: str) -> tuple[int, bool]:
    """Copy the attempt in the folder `source` into `store` if it is new. Returns its number there,
    and whether anything was copied.

    An attempt that exists already is not copied again; one that was copied while it was running
    is completed.
    """
    wanted, there = _read(source, root), {}
    with store.locked():
        for number in store.attempts(trial_id):
            with contextlib.suppress(Damaged):
                attempt = _read(store.attempt_folder(trial_id, number), store.root)
                if wanted.within(attempt):
                    return number, False
                there[number] = attempt
        unfinished = (number for number, attempt in there.items() if attempt.within(wanted))
        number = next(unfinished, max(store.attempts(trial_id), default=0) + 1)
        _copy(wanted, source, root, store.attempt_folder(trial_id, number))
    return number, True


def _copy(attempt: _Attempt, source: Path, root: str, target: Path) -> None:
    """Copy into a temporary folder, which is then renamed to `target`. If `target` exists, because
    the attempt was copied while it ran, the missing files are moved into it."""
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
        write_atomically(scratch / SPEC, json.dumps(attempt.spec | number))
        if attempt.outcome is not None:
            write_atomically(scratch / OUTCOME, json.dumps(attempt.outcome | number))
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


def _read(folder: Path, root: str) -> _Attempt:
    """Read an attempt. Raises Damaged if its spec or outcome is damaged."""
    read_spec(folder / SPEC, root)
    ended = os.path.lexists(folder / OUTCOME)
    return _Attempt(
        _unnumbered(read_object(folder / SPEC, root)),
        _unnumbered(_outcome_data(folder / OUTCOME, root)) if ended else None,
    )


def _outcome_data(file: Path, root: str) -> Json:
    """A sound record as JSON data of the current format."""
    read_outcome(file, root)
    data: Json = upgrade(read_object(file, root))
    return data


def _unnumbered(data: Json) -> Json:
    return {key: value for key, value in data.items() if key != "attempt"}
