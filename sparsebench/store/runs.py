"""A run in the store: its journal while it is written, its records when it is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.core.files import append_line, writing_to
from sparsebench.core.trial import Trial
from sparsebench.store.attempts import SPEC, Attempt, lost
from sparsebench.store.json_files import read_bytes, read_json, read_lines, reading
from sparsebench.store.models import EPOCH, EVENT, MANIFEST
from sparsebench.store.record import Record, utc_now

if TYPE_CHECKING:
    from sparsebench.store.store import Store


@dataclass(frozen=True)
class RunJournal:
    """A run being written: which attempts it began, and which records are its own."""

    store: Store
    id: str

    @property
    def folder(self) -> Path:
        return self.store.path / "runs" / self.id

    def began(self, attempt: Attempt) -> None:
        self.event("began", trial=attempt.trial.id, attempt=attempt.number)

    def recorded(self, record: Record, *, reused: bool = False) -> None:
        self.event(
            "recorded",
            trial=record.trial.id,
            attempt=record.attempt,
            status=str(record.status),
            reused=reused,
        )

    def event(self, what: str, **data: Any) -> None:
        """Append a line to events.jsonl; it is on the disk when this returns."""
        line = {"event": what, "at": utc_now(), **data}
        with writing_to(self.store.path):
            append_line(self.folder / "events.jsonl", line, durable=True)


class StoredRun:
    """A run as it was kept; of a run under way, what there is so far."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.id = run_id

    @property
    def path(self) -> Path:
        return self.store.path / "runs" / self.id

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.path / "manifest.json", self.store.root)

    @property
    def suite_text(self) -> str:
        """Empty if there is none; Damaged if it is not the one that the manifest's hash is of."""
        file = self.path / "suite.toml"
        if not os.path.lexists(file):
            return ""
        with reading(file):
            content = read_bytes(file, self.store.root)
            if self.manifest.get("suite_hash", suite_hash(content)) != suite_hash(content):
                raise ValueError("it has been changed since the run began")
            return content.decode()

    @cached_property
    def records(self) -> list[Record]:
        """One per trial that was begun or reused, in the order of the plan.

        Each carries the labels of this run: a record reused from another suite has its own. An
        attempt that is damaged or gone is a record, too: interrupted, and its detail says why.
        """
        return list(self._records())

    def folder(self, record: Record) -> Path:
        return self.store.folder(record)

    def events(self) -> list[dict[str, Any]]:
        """The journal; lines that are torn or damaged are passed over."""
        return read_events(self.path / "events.jsonl", self.store.root)

    def epochs(self, record: Record) -> list[dict[str, Any]]:
        """The epochs that a record's attempt finished, a line each; torn ones are passed over."""
        return read_lines(self.folder(record) / "epochs.jsonl", self.store.root, EPOCH)[0]

    def chosen(self) -> dict[str, int]:
        """The attempt of each trial that belongs to this run."""
        return {
            event["trial"]: event["attempt"]
            for event in self.events()
            if event["event"] in ("began", "recorded")
        }

    def _records(self) -> Iterator[Record]:
        chosen = self.chosen()
        for planned in self.manifest["trials"]:
            number = chosen.get(planned["id"])
            record = self._record(planned["id"], number) if number is not None else None
            if record is not None:
                trial = replace(record.trial, suite=planned["suite"], axes=planned["axes"])
                yield replace(record, trial=trial)

    def _record(self, trial_id: str, number: int) -> Record | None:
        record = self.store.record(trial_id, number)  # an outcome without a spec is enough
        folder = self.store.attempt_folder(trial_id, number)
        if record is None and not os.path.lexists(folder / SPEC):
            return lost(folder, self.store.root, f"damaged: {folder} is not there")
        return record


def read_manifest(file: Path, root: str) -> dict[str, Any]:
    manifest = read_json(file, root, MANIFEST)
    with reading(file):
        if (found := manifest.get("run", file.parent.name)) != file.parent.name:
            raise ValueError(f"it is of run {found!r:.80}")
    return manifest


def read_events(file: Path, root: str) -> list[dict[str, Any]]:
    return read_lines(file, root, EVENT)[0]


def planned(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """What a manifest keeps of the trials: ids, and the labels that are not part of them."""
    return [{"id": trial.id, "suite": trial.suite, "axes": trial.axes} for trial in trials]


def suite_hash(content: bytes) -> str:
    """The hash of a suite's text that a manifest keeps."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
