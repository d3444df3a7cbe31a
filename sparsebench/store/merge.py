"""Stores of several machines become one. A source may come from anywhere: it is read with care."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import write_atomically, writing_to
from sparsebench.errors import StoreError
from sparsebench.store import shapes
from sparsebench.store.leftovers import remove_leftovers
from sparsebench.store.plain import parse_lines, read_bytes, reading
from sparsebench.store.runs import StoredRun
from sparsebench.store.store import Store
from sparsebench.store.transfer import look_through, transfer

Event = Mapping[str, Any]
Numbers = Mapping[tuple[str, int], int]
"""The number that an attempt has after the merge, by trial and number before."""


@dataclass(frozen=True)
class Merged:
    """How much was copied, and how much of it was there already."""

    attempts: int
    attempts_there: int
    runs: int
    runs_there: int


@dataclass(frozen=True)
class RunFiles:
    """A run as it lies in a store."""

    manifest: Mapping[str, Any]
    suite: bytes
    events: Sequence[Event]

    def begins(self, other: RunFiles) -> bool:
        """Whether the other is the same run, not earlier in its course. Merging renumbers."""
        mine, theirs = [[_unnumbered(e) for e in run.events] for run in (self, other)]
        same = (self.manifest, self.suite) == (other.manifest, other.suite)
        return same and mine == theirs[: len(mine)]


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Copy what `into` does not have. Every source is looked through before anything is copied;
    stopped anywhere, merging again completes it."""
    stores = [_source(path, into) for path in sources]
    target = Store(into)
    runs = [_runs_of(store) for store in stores]
    _refuse_conflicts(runs, target)
    for store, found in zip(stores, runs):
        _look_through(store, found)
    with writing_to(target.path), target.locked():
        remove_leftovers(target.path)
    counts = [0, 0, 0, 0]
    for store, found in zip(stores, runs):
        numbers, copied = _transfer_all(store, target)
        counts[0] += copied
        counts[1] += len(numbers) - copied
        for run_id, files in found.items():
            counts[2 if _write_run(target, run_id, files, numbers) else 3] += 1
    return Merged(*counts)


def _source(path: Path, into: Path) -> Store:
    store = Store(path)
    if store.schema is None:
        raise StoreError(f"{path} is not a store: it has no store.json")
    if store.root == os.path.realpath(into):
        raise StoreError(f"{path} is the store to merge into; name another, or another --store")
    return store


def _runs_of(store: Store) -> dict[str, RunFiles]:
    return {run: _files(StoredRun(store, run)) for run in store.runs()}


def _files(run: StoredRun) -> RunFiles:
    """Damaged if any of it is; a last event that was cut off is not."""
    file = run.path / "events.jsonl"
    events: list[dict[str, Any]] = []
    if os.path.lexists(file):
        with reading(file):
            events, damaged, _ = parse_lines(read_bytes(file, run.store.root), shapes.event)
            if damaged:
                raise ValueError(f"line {damaged[0][0]}: {damaged[0][1]}")
    return RunFiles(run.manifest, run.suite_text.encode(), events)


def _refuse_conflicts(sources: Sequence[Mapping[str, RunFiles]], target: Store) -> None:
    """One id is one run, in all of them."""
    known = {run: _files(StoredRun(target, run)) for run in target.runs()}
    for found in sources:
        for run, files in found.items():
            other = known.setdefault(run, files)
            if not (files.begins(other) or other.begins(files)):
                raise StoreError(
                    f"run {run} is there twice with different content; nothing was merged. "
                    "Keep one of them: delete the folder of the other in runs/"
                )


def _look_through(store: Store, runs: Mapping[str, RunFiles]) -> None:
    """Raises for what is damaged, or named by a run and not there."""
    there = set()
    for trial in store.trial_ids():
        for number in store.attempts(trial):
            folder = store.attempt_folder(trial, number)
            if os.path.lexists(folder / "spec.json"):
                look_through(folder, store.root)
                there.add((trial, number))
    for run, files in runs.items():
        for event in files.events:
            if "attempt" in event and (event["trial"], event["attempt"]) not in there:
                raise StoreError(
                    f"{store.path}: run {run} names attempt {event['attempt']} at trial "
                    f"{event['trial']}, which is not there; see: sparsebench store verify"
                )


def _transfer_all(store: Store, target: Store) -> tuple[Numbers, int]:
    numbers: dict[tuple[str, int], int] = {}
    copied = 0
    for trial in store.trial_ids():
        for number in store.attempts(trial):
            folder = store.attempt_folder(trial, number)
            if os.path.lexists(folder / "spec.json"):
                with writing_to(target.path):
                    new, is_new = transfer(target, trial, folder, store.root)
                numbers[trial, number] = new
                copied += is_new
    return numbers, copied


def _write_run(target: Store, run_id: str, files: RunFiles, numbers: Numbers) -> bool:
    """Whether there was anything to write. The manifest comes last: with it the run is there."""
    folder = target.path / "runs" / run_id
    if run_id in target.runs() and files.begins(_files(StoredRun(target, run_id))):
        return False
    lines = [
        json.dumps(_renumbered(event, numbers), separators=(",", ":")) for event in files.events
    ]
    with writing_to(target.path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "suite.toml", files.suite)
        write_atomically(folder / "events.jsonl", "".join(f"{line}\n" for line in lines))
        write_atomically(folder / "manifest.json", json.dumps(files.manifest, indent=1))
    return True


def _renumbered(event: Event, numbers: Numbers) -> Event:
    if "attempt" not in event:
        return event
    return {**event, "attempt": numbers[event["trial"], event["attempt"]]}


def _unnumbered(event: Event) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "attempt"}
