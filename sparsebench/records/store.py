"""All outcomes, as plain files: a folder per attempt, a folder per run.

    store.json                               {"schema": 1}
    runs/<run>/manifest.json suite.toml events.jsonl
    trials/<aa>/<trial>/<attempt>/spec.json outcome.json epochs.jsonl mem.csv stdout.log stderr.log

An outcome.json is there whole or not at all, and its being there means that the attempt has
ended. Reading needs no permission to write.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsebench.errors import NothingMatched, StoreError
from sparsebench.records import alive
from sparsebench.records.durable import append_line, read_lines, write_atomically, writing_to
from sparsebench.records.record import Record, Status, jsonable, utc_now
from sparsebench.suite.trial import Trial

# Store schema history:
#   1  first version
STORE_SCHEMA = 1


@dataclass(frozen=True)
class Attempt:
    """An attempt that has been begun: where its process leaves what it writes."""

    trial: Trial
    number: int
    folder: Path


class Store:
    """The outcomes in a folder. It is made on the first write, not before."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._check_schema()

    # --- reading ----------------------------------------------------------------------

    def runs(self) -> list[str]:
        """Ids of the runs, the oldest first."""
        folder = self.path / "runs"
        if not folder.is_dir():
            return []
        found = [run for run in folder.iterdir() if (run / "manifest.json").is_file()]
        return sorted(run.name for run in found)

    def run(self, name: str | Path) -> StoredRun:
        """A run by its id, the start of one, `latest`, or its folder."""
        if isinstance(name, Path) or os.sep in name:
            return open_run_folder(Path(name))
        known = self.runs()
        if name == "latest" and known:
            return StoredRun(self, known[-1])
        matching = [name] if name in known else [run for run in known if run.startswith(name)]
        if len(matching) == 1:
            return StoredRun(self, matching[0])
        if matching:
            raise StoreError(f"run {name!r} is not one run: {', '.join(matching)}")
        listed = ", ".join(known[-5:]) or "none"
        raise StoreError(f"no run {name!r} in {self.path}. The latest: {listed}")

    def trial_ids(self) -> list[str]:
        return sorted(folder.name for folder in (self.path / "trials").glob("??/*"))

    def records(self, trial_id: str) -> list[Record]:
        """Every attempt that has ended, the oldest first."""
        numbers = _numbers(self._trial_folder(trial_id))
        found = [self.record(trial_id, number) for number in numbers]
        return [record for record in found if record is not None]

    def record(self, trial_id: str, attempt: int) -> Record | None:
        """None while the attempt is under way; interrupted if its supervisor is gone."""
        return read_attempt(self._trial_folder(trial_id) / str(attempt))

    def find_trial(self, prefix: str) -> list[Record]:
        """The records of the trial whose id starts with `prefix`, the oldest first."""
        matching = [trial_id for trial_id in self.trial_ids() if trial_id.startswith(prefix)]
        if not matching:
            raise NothingMatched(f"no trial {prefix!r} in {self.path}")
        if len(matching) > 1:
            raise StoreError(f"trial {prefix!r} is not one trial: {', '.join(matching[:5])} ...")
        return self.records(matching[0])

    def folder(self, record: Record) -> Path:
        """Where the files of a record's attempt are."""
        return self._trial_folder(record.trial.id) / str(record.attempt)

    # --- writing ----------------------------------------------------------------------

    def open_run(self, name: str, manifest: Mapping[str, Any], suite_text: str = "") -> RunJournal:
        """A new run of the suite `name`."""
        with self._writing():
            self._create()
            run_id = f"{_stamp()}-{name}-{secrets.token_hex(3)}"
            folder = self.path / "runs" / run_id
            folder.mkdir(parents=True)
            write_atomically(folder / "suite.toml", suite_text)
            told = jsonable({"run": run_id, "schema": STORE_SCHEMA, "suite": name, **manifest})
            write_atomically(folder / "manifest.json", json.dumps(told, indent=1))
        return RunJournal(self, run_id)

    def begin(self, trial: Trial, *, fingerprint: Mapping[str, Any] | None = None) -> Attempt:
        """A new attempt at a trial, this process being its supervisor."""
        with self._writing():
            self._create()
            number, folder = self._new_folder(self._trial_folder(trial.id))
            spec = {
                "trial": trial.to_json(),
                "attempt": number,
                "fingerprint": dict(fingerprint or {}),
                "started": utc_now(),
                "process": alive.this_process(),
            }
            write_atomically(folder / "spec.json", json.dumps(jsonable(spec)))
        return Attempt(trial, number, folder)

    def finish(self, attempt: Attempt, record: Record) -> None:
        """Keep the outcome, and tidy what only the attempt needed."""
        with self._writing():
            text = json.dumps(record.to_json())
            write_atomically(attempt.folder / "outcome.json", text)
        for name in ("result.json", "progress.json", "progress.tmp"):
            with contextlib.suppress(OSError):
                (attempt.folder / name).unlink()

    # --- inside -----------------------------------------------------------------------

    def _trial_folder(self, trial_id: str) -> Path:
        return self.path / "trials" / trial_id[:2] / trial_id

    def _new_folder(self, trial_folder: Path) -> tuple[int, Path]:
        """The next free number; another run may take it first."""
        trial_folder.mkdir(parents=True, exist_ok=True)
        number = max(_numbers(trial_folder), default=0)
        while True:
            number += 1
            folder = trial_folder / str(number)
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return number, folder

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing_to(self.path)

    def _create(self) -> None:
        """The folder and its marker; another run may be making them, too."""
        marker = self.path / "store.json"
        if marker.exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        foreign = any(not name.startswith("store.json") for name in os.listdir(self.path))
        if foreign and not marker.exists():
            raise StoreError(f"{self.path} is not a store, and not empty: it has no store.json")
        write_atomically(marker, json.dumps({"schema": STORE_SCHEMA}))

    def _check_schema(self) -> None:
        marker = self.path / "store.json"
        try:
            schema = json.loads(marker.read_text())["schema"]
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{marker} cannot be read: {error}") from None
        if schema != STORE_SCHEMA:
            raise StoreError(
                f"{self.path} has store schema {schema!r}; this sparsebench reads schemas up to "
                f"{STORE_SCHEMA}: install a newer one"
            )


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
        """A line of events.jsonl, on the disk when this returns."""
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
        return _read(self.path / "manifest.json")

    @property
    def suite_text(self) -> str:
        file = self.path / "suite.toml"
        return file.read_text() if file.exists() else ""

    @cached_property
    def records(self) -> list[Record]:
        """One per trial that was begun or reused, in the order of the plan.

        Each carries the labels of this run: a record reused from another suite has its own.
        """
        return list(self._records())

    def folder(self, record: Record) -> Path:
        return self.store.folder(record)

    def events(self) -> list[dict[str, Any]]:
        return list(read_lines(self.path / "events.jsonl"))

    def _records(self) -> Iterator[Record]:
        chosen = {
            event["trial"]: event["attempt"]
            for event in self.events()
            if event["event"] in ("began", "recorded")
        }
        for planned in self.manifest["trials"]:
            number = chosen.get(planned["id"])
            record = self.store.record(planned["id"], number) if number is not None else None
            if record is not None:
                trial = replace(record.trial, suite=planned["suite"], axes=planned["axes"])
                yield replace(record, trial=trial)


def open_run_folder(folder: Path) -> StoredRun:
    """A run by its folder `<store>/runs/<id>`, or by the store's (its latest run)."""
    folder = folder.resolve()
    if (folder / "manifest.json").is_file():
        return StoredRun(Store(folder.parent.parent), folder.name)
    if (folder / "store.json").is_file():
        return Store(folder).run("latest")
    raise StoreError(f"{folder} is neither a run nor a store")


def planned(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """What a manifest keeps of the trials: ids, and the labels that are not part of them."""
    return [{"id": trial.id, "suite": trial.suite, "axes": trial.axes} for trial in trials]


def read_attempt(folder: Path) -> Record | None:
    """The record of an attempt's folder; see `Store.record`."""
    outcome = folder / "outcome.json"
    if outcome.is_file():
        return Record.from_json(_read(outcome))
    try:
        spec = _read(folder / "spec.json")
    except StoreError:
        return None
    if alive.is_alive(spec["process"]):
        return None
    return Record(
        trial=Trial.from_json(spec["trial"]),
        attempt=spec["attempt"],
        status=Status.INTERRUPTED,
        detail="its supervisor was gone before it ended",
        fingerprint=spec["fingerprint"],
        started=spec["started"],
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise StoreError(f"{file} cannot be read: it holds no object")
    return data


def _numbers(trial_folder: Path) -> list[int]:
    """The attempts there are; whatever else lies there is passed over."""
    try:
        names = os.listdir(trial_folder)
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _stamp() -> str:
    """UTC to the microsecond, so that the order of ids is that of time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
