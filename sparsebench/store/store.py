"""All outcomes, as plain files: a folder per attempt, a folder per run.

    store.json                               {"schema": 2}
    runs/<run>/manifest.json suite.toml events.jsonl
    trials/<aa>/<trial>/<attempt>/spec.json outcome.json epochs.jsonl mem.csv stdout.log stderr.log

An outcome.json is there whole or not at all, and its being there means that the attempt has
ended. Reading needs no permission to write. Names and contents are checked before they are used:
a store may come from anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsebench.core.files import append_line, jsonable, write_atomically, writing_to
from sparsebench.core.job import CHECKPOINT, MODEL
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, StoreError, spelt_out
from sparsebench.store.attempts import (
    OUTCOME,
    SPEC,
    Attempt,
    is_alive,
    lost,
    numbers,
    read_attempt,
    read_spec,
    this_process,
)
from sparsebench.store.models import (
    EPOCH,
    EVENT,
    LOCK,
    MANIFEST,
    MARKER,
    STORE_MARKER,
    is_run,
    is_trial,
)
from sparsebench.store.record import Record, utc_now
from sparsebench.store.safe_files import Damaged, read_bytes, read_json, read_lines, reading

# Store schema history:
#   2  spec.json names its `run`; records of format 2
#   1  first version
STORE_SCHEMA = 2

STAMP = "%Y%m%dT%H%M%S.%fZ"

LOCK_TIMEOUT = 10.0
"""Seconds to wait for the lock; its holder needs milliseconds, unless it was stopped."""

NEEDED_ONCE = ("result.json", "progress.json", "progress.tmp")
"""Files of an attempt that nobody needs after its outcome."""

NEVER_RESUMED = (Status.OK, Status.DIVERGED)


class Store:
    """Trials and runs in a folder, which is made by the first write.

    root  the folder with every link of its own resolved: nothing outside it is read
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.root = os.path.realpath(path)
            self.schema = self._read_schema()
        except OSError as error:  # a name that is too long, links in a circle
            raise StoreError(f"store {path}: {error.strerror or error}") from None
        self._lock: Any = None

    # --- trials -----------------------------------------------------------------------

    def trial_ids(self, prefix: str = "") -> list[str]:
        """The ids of all trials, or of those whose id starts with `prefix`."""
        folder = self.path / "trials"
        shelves = [prefix[:2]] if len(prefix) >= 2 and prefix[:2].isalnum() else names_in(folder)
        return [
            name
            for shelf in shelves
            for name in names_in(folder / shelf)
            if is_trial(name) and name[:2] == shelf and name.startswith(prefix)
        ]

    def trial_id(self, prefix: str) -> str:
        """The one id that starts with `prefix`."""
        matching = self.trial_ids(prefix)
        if not matching:
            raise NothingMatched(f"no trial {prefix!r} in {self.path}")
        if len(matching) > 1:
            raise StoreError(f"trial {prefix!r} is not one trial: {', '.join(matching[:5])} ...")
        return matching[0]

    def find_trial(self, prefix: str) -> list[Record]:
        """The records of the trial whose id starts with `prefix`, the oldest first."""
        return self.records(self.trial_id(prefix))

    def attempts(self, trial_id: str) -> list[int]:
        """Numbers of a trial's attempts, in order."""
        return numbers(self.trial_folder(trial_id))

    def records(self, trial_id: str) -> list[Record]:
        """Every attempt that has ended, the oldest first."""
        found = (self.record(trial_id, number) for number in self.attempts(trial_id))
        return [record for record in found if record is not None]

    def record(self, trial_id: str, attempt: int) -> Record | None:
        """None while the attempt is under way; interrupted if its supervisor is gone, or its
        files are damaged."""
        return read_attempt(self.attempt_folder(trial_id, attempt), self.root)

    def folder(self, record: Record) -> Path:
        """The folder with the files of a record's attempt."""
        return self.attempt_folder(record.trial.id, record.attempt)

    def trial_folder(self, trial_id: str) -> Path:
        if not is_trial(trial_id):
            raise StoreError(f"{self.path}: {trial_id!r:.80} is no trial's id")
        return self.path / "trials" / trial_id[:2] / trial_id

    def attempt_folder(self, trial_id: str, attempt: int) -> Path:
        return self.trial_folder(trial_id) / str(int(attempt))

    def all_attempts(self) -> Iterator[tuple[str, int, Path]]:
        """Trial, number and folder of every attempt there is."""
        for trial in self.trial_ids():
            for number in self.attempts(trial):
                yield trial, number, self.attempt_folder(trial, number)

    def log(self, trial_id: str, attempt: int, name: str) -> str:
        """The text that an attempt's process wrote, with control characters spelt out; empty if
        there is no such file."""
        file = self.attempt_folder(trial_id, attempt) / name
        if not os.path.lexists(file):
            return ""
        with reading(file):
            text = read_bytes(file, self.root).decode(errors="replace").expandtabs()
        return "\n".join(spelt_out(line.rstrip("\r")) for line in text.split("\n"))

    def under_way_elsewhere(self, trial_id: str) -> tuple[Attempt, str] | None:
        """The newest attempt that another process of this machine is busy with, and its run."""
        for number in reversed(self.attempts(trial_id)):
            folder = self.attempt_folder(trial_id, number)
            if (folder / OUTCOME).exists():
                continue
            with contextlib.suppress(Damaged):
                spec = read_spec(folder / SPEC, self.root)
                process = spec["process"]
                if process != this_process() and is_alive(process):
                    return Attempt(spec["trial"], number, folder), spec.get("run", "")
        return None

    # --- checkpoints and trained networks ---------------------------------------------

    def checkpoint(self, trial: Trial, agrees: Callable[[dict[str, Any]], bool]) -> Path | None:
        """The newest checkpoint of an earlier attempt at the trial that ran today's code.

        agrees  called with the fingerprint of an attempt
        """
        for record in reversed(self.records(trial.id)):
            file = self.folder(record) / CHECKPOINT
            if record.status not in NEVER_RESUMED and _is_own(file) and agrees(record.fingerprint):
                return file
        return None

    def tidy_checkpoints(self, record: Record) -> None:
        """Remove those that no attempt resumes from, now that this attempt has ended."""
        newest = self.folder(record) / CHECKPOINT
        over = record.status in NEVER_RESUMED
        if over or _is_own(newest):
            for one in self.records(record.trial.id):
                file = self.folder(one) / CHECKPOINT
                if over or file != newest:
                    with contextlib.suppress(OSError):
                        file.unlink()

    def has_model(self, record: Record) -> bool:
        return _is_own(self.folder(record) / MODEL)

    def find_model(self, prefix: str) -> tuple[Record, Path]:
        """The newest trained network of the trial whose id starts with `prefix`.

        Raises NothingMatched, with what to do, where none was kept.
        """
        records = self.find_trial(prefix)
        for record in reversed(records):
            if self.has_model(record):
                return record, self.folder(record) / MODEL
        if not records:
            raise NothingMatched("the trial has not ended yet: there is no trained network")
        last = records[-1]
        raise NothingMatched(
            f"trial {last.trial.id} ended {last.status}: there is no trained network"
            if last.status != Status.OK
            else f"trial {last.trial.id} kept no network (those above 4 MiB are not kept unasked); "
            "run it again with: sparsebench run SUITE --set keep_model=true"
        )

    # --- runs -------------------------------------------------------------------------

    def runs(self) -> list[str]:
        """Ids of the runs, the oldest first."""
        folder = self.path / "runs"
        there = (run for run in names_in(folder) if is_run(run))
        return [run for run in there if os.path.lexists(folder / run / "manifest.json")]

    def run(self, name: str | Path) -> StoredRun:
        """A run by its id, the start of one, `latest`, or its folder."""
        if isinstance(name, Path) or os.sep in name:
            return open_run_folder(Path(name))
        known = self.runs()
        if name == "latest" and known:
            return StoredRun(self, known[-1])
        matching = [name] if name in known else [run for run in known if run.startswith(name)]
        if name and len(matching) == 1:
            return StoredRun(self, matching[0])
        if name and matching:
            raise StoreError(f"run {name!r} is not one run: {', '.join(matching)}")
        listed = ", ".join(known[-5:]) or "none"
        raise StoreError(f"no run {name!r} in {self.path}. The latest: {listed}")

    # --- writing ----------------------------------------------------------------------

    def open_run(self, name: str, manifest: Mapping[str, Any], suite_text: str = "") -> RunJournal:
        """Start a new run of the suite `name`.

        Its id is the time in UTC to the microsecond, so that ids sort by time; just after the last
        run where the clock has been set back since.
        """
        with self.locked(), writing_to(self.path):
            now = datetime.now(UTC)
            for run in self.runs()[-1:]:
                with contextlib.suppress(ValueError):
                    last = datetime.strptime(run.partition("-")[0], STAMP).replace(tzinfo=UTC)
                    now = max(now, last + timedelta(microseconds=1))
            run_id = f"{now.strftime(STAMP)}-{name}-{secrets.token_hex(3)}"
            folder = self.path / "runs" / run_id
            folder.mkdir(parents=True)
            write_atomically(folder / "suite.toml", suite_text)
            data = jsonable({"run": run_id, "schema": STORE_SCHEMA, "suite": name, **manifest})
            write_atomically(folder / "manifest.json", json.dumps(data, indent=1))
        return RunJournal(self, run_id)

    def begin(
        self, trial: Trial, *, fingerprint: Mapping[str, Any] | None = None, run: str = ""
    ) -> Attempt:
        """Start a new attempt at a trial, with this process as its supervisor."""
        with self.locked(), writing_to(self.path):
            trial_folder = self.trial_folder(trial.id)
            trial_folder.mkdir(parents=True, exist_ok=True)
            number = max(numbers(trial_folder), default=0) + 1
            while True:  # a run that could not have the lock may take a number first
                try:
                    (folder := trial_folder / str(number)).mkdir()
                    break
                except FileExistsError:
                    number += 1
            spec = {
                "trial": trial.to_json(),
                "attempt": number,
                "fingerprint": dict(fingerprint or {}),
                "started": utc_now(),
                "process": this_process(),
                **({"run": run} if run else {}),
            }
            write_atomically(folder / SPEC, json.dumps(jsonable(spec)))
        return Attempt(trial, number, folder)

    def finish(self, attempt: Attempt, record: Record) -> None:
        """Write the outcome, and remove the files that only the attempt needed."""
        with writing_to(self.path):
            write_atomically(attempt.folder / OUTCOME, json.dumps(record.to_json()))
        for name in NEEDED_ONCE:
            with contextlib.suppress(OSError):
                (attempt.folder / name).unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While held, no other run of this machine begins an attempt. Reentrant; milliseconds only.

        Without a lock the block runs all the same, where the file system has none or its holder
        was stopped: making a folder has one winner anyway, so all that is lost is that two runs
        may do the same trial.
        """
        import filelock

        with contextlib.ExitStack() as stack:
            with writing_to(self.path):
                self.make()
                self._lock = self._lock or filelock.FileLock(self.path / LOCK, mode=0o644)
                with contextlib.suppress(filelock.Timeout, NotImplementedError):
                    self._lock.acquire(timeout=LOCK_TIMEOUT, poll_interval=0.02)
                    stack.callback(self._lock.release)
            yield

    def make(self) -> None:
        """Make the folder and its marker, of today's schema from now on.

        Another run may be making them, too. Of an older store only the marker changes: that
        keeps an older sparsebench, which could not read what is to come, from reading on.
        """
        schema = self._read_schema()
        if schema == STORE_SCHEMA:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        names = os.listdir(self.path)
        if schema is None and any(not name.startswith(MARKER) for name in names):
            if not (self.path / MARKER).exists():
                raise StoreError(f"{self.path} is not a store, and not empty: it has no {MARKER}")
            return
        write_atomically(self.path / MARKER, json.dumps({"schema": STORE_SCHEMA}))

    def _read_schema(self) -> int | None:
        """None where there is no store yet; StoreError for a store from the future."""
        file = self.path / MARKER
        try:
            os.lstat(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        schema: int = read_json(file, self.root, STORE_MARKER)["schema"]
        if schema > STORE_SCHEMA:
            raise StoreError(
                f"{self.path} has store schema {schema!r}; this sparsebench reads schemas up to "
                f"{STORE_SCHEMA}: install a newer one"
            )
        return schema


def open_run_folder(folder: Path) -> StoredRun:
    """A run by its folder `<store>/runs/<id>`, or by the store's (its latest run)."""
    try:
        folder = folder.resolve()
        if (folder / "manifest.json").is_file():
            return StoredRun(Store(folder.parent.parent), folder.name)
        if (folder / MARKER).is_file():
            return Store(folder).run("latest")
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise StoreError(f"{folder}: {getattr(error, 'strerror', None) or error}") from None
    raise StoreError(f"{folder} is neither a run nor a store")


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none if it is no folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}") from None


def _is_own(file: Path) -> bool:
    """Whether it is a file, and no link to one that may lie anywhere."""
    return file.is_file() and not file.is_symlink()


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
        labels = {"trial": record.trial.id, "attempt": record.attempt}
        self.event("recorded", **labels, status=str(record.status), reused=reused)

    def event(self, what: str, **data: Any) -> None:
        """Append a line to events.jsonl; it is on the disk when this returns."""
        line = {"event": what, "at": utc_now(), **data}
        with writing_to(self.store.path):
            append_line(self.folder / "events.jsonl", line, durable=True)


@dataclass(eq=False)
class StoredRun:
    """A run as it was kept; of a run under way, what there is so far."""

    store: Store
    id: str

    @property
    def path(self) -> Path:
        return self.store.path / "runs" / self.id

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Planned trials, versions, machine; Damaged if it is of another run."""
        file = self.path / "manifest.json"
        manifest = read_json(file, self.store.root, MANIFEST)
        if (found := manifest.get("run", self.id)) != self.id:
            raise Damaged(f"{file} cannot be read: it is of run {found!r:.80}")
        return manifest

    @property
    def suite_text(self) -> str:
        """Empty if there is none; Damaged if it is not the one that the manifest's hash is of."""
        file = self.path / "suite.toml"
        if not os.path.lexists(file):
            return ""
        with reading(file):
            content = read_bytes(file, self.store.root)
            found = hashlib.blake2b(content, digest_size=16).hexdigest()
            if self.manifest.get("suite_hash", found) != found:
                raise ValueError("it has been changed since the run began")
            return content.decode()

    @cached_property
    def records(self) -> list[Record]:
        """One per trial that was begun or reused, in the order of the plan.

        Each carries the labels of this run: a record reused from another suite has its own. An
        attempt that is damaged or gone is a record, too: interrupted, and its detail says why.
        """
        chosen = {
            event["trial"]: event["attempt"]
            for event in self.events()
            if event["event"] in ("began", "recorded")
        }
        found = []
        for planned in self.manifest["trials"]:
            if (number := chosen.get(planned["id"])) is None:
                continue
            record = self.store.record(planned["id"], number)
            folder = self.store.attempt_folder(planned["id"], number)
            if record is None and not os.path.lexists(folder / SPEC):
                record = lost(folder, self.store.root, f"damaged: {folder} is not there")
            if record is not None:
                trial = replace(record.trial, suite=planned["suite"], axes=planned["axes"])
                found.append(replace(record, trial=trial))
        return found

    def folder(self, record: Record) -> Path:
        return self.store.folder(record)

    def events(self) -> list[dict[str, Any]]:
        """The journal; lines that are torn or damaged are ignored."""
        return read_lines(self.path / "events.jsonl", self.store.root, EVENT)[0]

    def epochs(self, record: Record) -> list[dict[str, Any]]:
        """The epochs that a record's attempt finished, a line each; torn lines are ignored."""
        return read_lines(self.folder(record) / "epochs.jsonl", self.store.root, EPOCH)[0]


def planned(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """What a manifest keeps of the trials: ids, and the labels that are not part of them."""
    return [{"id": trial.id, "suite": trial.suite, "axes": trial.axes} for trial in trials]
