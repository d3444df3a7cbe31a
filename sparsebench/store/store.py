"""Stores all outcomes as plain files: a folder per attempt, a folder per run.

    store.json                               {"schema": 2}
    runs/<run>/manifest.json suite.toml events.jsonl
    trials/<aa>/<trial>/<attempt>/spec.json outcome.json epochs.jsonl mem.csv stdout.log stderr.log

An outcome.json is written atomically, and its existence means that the attempt has ended. Reading
needs no permission to write. Names and contents are checked before use, because a store may come
from anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sparsebench.core.files import append_line, jsonable, write_atomically, writing_to
from sparsebench.core.job import CHECKPOINT, MODEL
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import (
    NothingMatched,
    SparsebenchError,
    StoreError,
    escape_unprintable,
    printable,
)
from sparsebench.store.attempts import (
    DAMAGED,
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
from sparsebench.store.record import Record, utc_now
from sparsebench.store.safe_files import Damaged, read_bytes, read_json, read_lines, reading
from sparsebench.store.schemas import (
    EPOCH,
    EVENT,
    LOCK,
    MANIFEST,
    MARKER,
    STORE_MARKER,
    is_run,
    is_trial,
)
from sparsebench.suite.labels import label
from sparsebench.suite.selectors import select

# Store schema history:
#   2  spec.json names its `run`; records of format 2
#   1  first version
STORE_SCHEMA = 2

STAMP = "%Y%m%dT%H%M%S.%fZ"

SIGNALLED = (130, 143)
"""Exit codes of a run that a signal ended."""

LOCK_TIMEOUT = 10.0
"""Seconds to wait for the lock; its holder needs milliseconds unless it was stopped."""

NEEDED_ONCE = ("result.json", "progress.json", "progress.tmp")
"""Files of an attempt that are deleted when its outcome is stored."""

LABELS = ("suite", "axes", "words", "defaults")
"""Fields of a trial that the manifest of each of its runs keeps, as they differ between suites."""

NEVER_RESUMED = (Status.OK, Status.DIVERGED)


class Store:
    """Trials and runs in a folder, which is created by the first write.

    root  the folder with its links resolved; nothing outside it is read
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
        """The ids of all trials, or of those that start with `prefix`."""
        folder = self.path / "trials"
        shelves = [prefix[:2]] if len(prefix) >= 2 and prefix[:2].isalnum() else names_in(folder)
        return [
            name
            for shelf in shelves
            for name in names_in(folder / shelf)
            if is_trial(name) and name[:2] == shelf and name.startswith(prefix)
        ]

    def trial_id(self, name: str) -> str:
        """The id of the one trial that `name` means: the start of an id, else a label of the latest
        run, else words that only one of its labels contains, as in `set seed=0`. Raises
        NothingMatched for no trial, and StoreError for several."""
        matching = dict.fromkeys(self.trial_ids(name), "") if name.isalnum() else {}
        if not matching and name.strip():
            matching = self._labelled(name)
        if not matching:
            raise NothingMatched(
                f"no trial {name!r} in {self.path}; give its id, or words of its label in the "
                "latest run"
            )
        if len(matching) > 1:
            listed = "; ".join(" ".join(pair).strip() for pair in list(matching.items())[:3])
            raise StoreError(f"{name!r} fits {len(matching)} trials: {printable(listed)} ...")
        return next(iter(matching))

    def _labelled(self, name: str) -> dict[str, str]:
        """Ids and labels of the trials of the latest run whose label matches `name`."""
        trials = [record.trial for run in self.runs()[-1:] for record in self.run(run).records]
        labels = {trial.id: label(trial) for trial in trials}
        exact = {trial_id: words for trial_id, words in labels.items() if words == name}
        words = [word for word in name.split() if word != "and"]
        with contextlib.suppress(SparsebenchError):
            return exact or {t.id: labels[t.id] for t in select(trials, " and ".join(words))}
        return {}

    def find_trial(self, name: str) -> list[Record]:
        """The records of the trial that `trial_id` finds, the oldest first."""
        return self.records(self.trial_id(name))

    def attempts(self, trial_id: str) -> list[int]:
        """Numbers of a trial's attempts, in order."""
        return numbers(self.trial_folder(trial_id))

    def records(self, trial_id: str) -> list[Record]:
        """The records of all attempts that have ended, the oldest first."""
        found = (self.record(trial_id, number) for number in self.attempts(trial_id))
        return [record for record in found if record is not None]

    def record(self, trial_id: str, attempt: int) -> Record | None:
        """The record of an attempt: None while it is running; interrupted if its supervisor is
        gone or its files are damaged."""
        return read_attempt(self.attempt_folder(trial_id, attempt), self.root)

    def folder(self, record: Record) -> Path:
        """The folder of a record's attempt."""
        return self.attempt_folder(record.trial.id, record.attempt)

    def trial_folder(self, trial_id: str) -> Path:
        if not is_trial(trial_id):
            raise StoreError(f"{self.path}: {trial_id!r:.80} is not a trial id")
        return self.path / "trials" / trial_id[:2] / trial_id

    def attempt_folder(self, trial_id: str, attempt: int) -> Path:
        return self.trial_folder(trial_id) / str(int(attempt))

    def all_attempts(self) -> Iterator[tuple[str, int, Path]]:
        """Yield trial, number and folder of every attempt."""
        for trial in self.trial_ids():
            for number in self.attempts(trial):
                yield trial, number, self.attempt_folder(trial, number)

    def log(self, trial_id: str, attempt: int, name: str) -> str:
        """The output of an attempt's process with control characters escaped; empty if there is
        none. `name` is stdout.log or stderr.log."""
        file = self.attempt_folder(trial_id, attempt) / name
        if not os.path.lexists(file):
            return ""
        with reading(file):
            text = read_bytes(file, self.root).decode(errors="replace").expandtabs()
        return "\n".join(escape_unprintable(line.rstrip("\r")) for line in text.split("\n"))

    def under_way_elsewhere(self, trial_id: str) -> tuple[Attempt, str] | None:
        """The newest attempt at the trial that another process of this machine is running, and the
        id of its run (empty if unknown). None if there is none."""
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
        """The newest checkpoint of an earlier attempt at the trial that ran the present code; None
        if there is none.

        agrees  tells, given the fingerprint of an attempt, whether it ran the present code
        """
        for record in reversed(self.records(trial.id)):
            file = self.folder(record) / CHECKPOINT
            if record.status not in NEVER_RESUMED and _is_own(file) and agrees(record.fingerprint):
                return file
        return None

    def tidy_checkpoints(self, record: Record) -> None:
        """Delete the trial's checkpoints that no attempt will resume from, now that this attempt
        has ended: all of them if it ended well or diverged, else all older than its own."""
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

    def find_model(self, name: str) -> tuple[Record, Path]:
        """The newest trained network of the trial that `trial_id` finds. Raises NothingMatched,
        with what to do, if none was kept."""
        records = self.find_trial(name)
        for record in reversed(records):
            if self.has_model(record):
                return record, self.folder(record) / MODEL
        if not records:
            raise NothingMatched("the trial has not ended yet: there is no trained network")
        last = records[-1]
        raise NothingMatched(
            f"trial {last.trial.id} ended {last.status}: there is no trained network"
            if last.status != Status.OK
            else f"trial {last.trial.id} has no stored network (above 4 MiB one is kept only on "
            "request); run it again with: sparsebench run SUITE --set keep_model=true"
        )

    # --- runs -------------------------------------------------------------------------

    def runs(self) -> list[str]:
        """Ids of the runs, the oldest first."""
        folder = self.path / "runs"
        there = (run for run in names_in(folder) if is_run(run))
        return [run for run in there if os.path.lexists(folder / run / "manifest.json")]

    def run(self, name: str | Path) -> StoredRun:
        """A run by its id, the start of its id, `latest`, or a folder (see `open_run_folder`)."""
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

        Its id begins with the time in UTC to the microsecond, so ids sort by time; the suite's name
        and random digits follow. If the clock has been set back, the time is just after that of the
        latest run.
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
        """Write the outcome and delete the files that only the running attempt needed."""
        with writing_to(self.path):
            write_atomically(attempt.folder / OUTCOME, json.dumps(record.to_json()))
        for name in NEEDED_ONCE:
            with contextlib.suppress(OSError):
                (attempt.folder / name).unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock: no other run of this machine begins an attempt inside the block.
        Reentrant; hold it for milliseconds only.

        If the file system has no locks, or if `LOCK_TIMEOUT` passes because the holder was stopped,
        the block runs without the lock. Only one process can create a folder of a given name, so
        two runs may at worst do the same trial.
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
        """Create the folder, and store.json with the current schema. Raises StoreError if the
        folder is not a store and not empty.

        Another run may be doing the same. In a store of an older schema only store.json changes,
        which keeps an older sparsebench from reading newer files.
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
        """The schema of the store; None if there is no store yet. StoreError for a newer schema."""
        file = self.path / MARKER
        try:
            os.lstat(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            schema: int = read_json(file, self.root, STORE_MARKER)["schema"]
        except Damaged as error:
            all_of_it = json.dumps({"schema": STORE_SCHEMA})
            raise Damaged(
                f"{error}; restore it from a copy, or write {all_of_it} into it"
            ) from None
        if schema > STORE_SCHEMA:
            raise StoreError(
                f"{self.path} has store schema {schema!r}; this sparsebench reads schemas up to "
                f"{STORE_SCHEMA}: install a newer one"
            )
        return schema


def open_run_folder(folder: Path) -> StoredRun:
    """A run by its folder `<store>/runs/<id>`, or the latest run of a store's folder."""
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
    """The names in a folder, sorted; empty if it is not a folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}") from None


def _is_own(file: Path) -> bool:
    """Whether it is a regular file and not a link."""
    return file.is_file() and not file.is_symlink()


@dataclass(frozen=True)
class RunJournal:
    """A run being written: the attempts that it began and the records that belong to it."""

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
        """Append a line to events.jsonl and flush it to the disk."""
        line = {"event": what, "at": utc_now(), **data}
        with writing_to(self.store.path):
            append_line(self.folder / "events.jsonl", line, durable=True)


@dataclass(frozen=True)
class RunState:
    """The progress of a run.

    planned  number of its trials
    counts   number of ended trials by status, or `damaged` where the record cannot be read
    running  attempts that have begun and not ended: trial -> number of the attempt
    word     "over"; "interrupted": ended by a signal; "running"; or "stopped": its process ended
             before the run was over
    damaged  for each damaged record, which file cannot be read and why
    """

    planned: int
    counts: dict[str, int]
    running: dict[str, int]
    word: Literal["over", "interrupted", "running", "stopped"]
    damaged: tuple[str, ...] = ()

    @property
    def ended(self) -> int:
        return sum(self.counts.values())


@dataclass(eq=False)
class StoredRun:
    """A stored run. If it is still running, it has the records so far."""

    store: Store
    id: str

    @property
    def path(self) -> Path:
        return self.store.path / "runs" / self.id

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Planned trials, versions, machine. Raises Damaged if it belongs to another run."""
        file = self.path / "manifest.json"
        manifest = read_json(file, self.store.root, MANIFEST)
        if (found := manifest.get("run", self.id)) != self.id:
            raise Damaged(f"{file} cannot be read: it is of run {found!r:.80}")
        return manifest

    @property
    def suite_text(self) -> str:
        """The suite's text; empty if there is none. Raises Damaged if its hash is not the
        manifest's."""
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
        """A record per trial that has ended or was reused, in planned order.

        Each gets the labels of this run, because a record that was reused from another suite has
        that suite's. An attempt that is damaged or missing gives an interrupted record whose detail
        says why.
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
            record = self._record(planned["id"], number)
            if record is not None:
                labels = {key: planned[key] for key in LABELS if key in planned}
                found.append(replace(record, trial=replace(record.trial, **labels)))
        return found

    def _record(self, trial_id: str, attempt: int) -> Record | None:
        """The record of an attempt; a damaged one if its folder is not there."""
        record = self.store.record(trial_id, attempt)
        folder = self.store.attempt_folder(trial_id, attempt)
        if record is None and not os.path.lexists(folder / SPEC):
            return lost(folder, self.store.root, f"{DAMAGED}: {folder} is not there")
        return record

    def state(self) -> RunState:
        """The progress of the run according to its journal, but for attempts whose end is not in
        the journal and for damaged records."""
        ended: dict[str, str] = {}
        attempts: dict[str, int] = {}
        started: dict[str, int] = {}
        word: Literal["over", "interrupted", ""] = ""
        for event in self.events():
            if event["event"] == "ended":
                word = "interrupted" if event.get("exit_code") in SIGNALLED else "over"
            if event["event"] == "recorded":
                ended[event["trial"]] = str(event.get("status", ""))
                attempts[event["trial"]] = event["attempt"]
                started.pop(event["trial"], None)
            elif event["event"] == "began":
                ended.pop(event["trial"], None)
                started[event["trial"]] = event["attempt"]
        recorded = [self._record(trial, attempts[trial]) for trial in ended]
        damaged = [one for one in recorded if one is not None and one.cause == DAMAGED]
        ended.update((one.trial.id, DAMAGED) for one in damaged)
        unfinished = {t: self.store.record(t, number) for t, number in started.items()}
        running = {t: started[t] for t, record in unfinished.items() if record is None}
        counts = Counter(ended.values())
        counts.update(str(record.status) for record in unfinished.values() if record is not None)
        process = self.manifest.get("process")
        alive = is_alive(process) if process is not None else bool(running)
        return RunState(
            planned=len(self.manifest["trials"]),
            counts=dict(counts),
            running=running,
            word=word or ("running" if alive else "stopped"),
            damaged=tuple(one.detail.removeprefix(f"{DAMAGED}: ") for one in damaged),
        )

    def folder(self, record: Record) -> Path:
        return self.store.folder(record)

    def events(self) -> list[dict[str, Any]]:
        """The lines of the journal, events.jsonl, without incomplete and damaged ones."""
        return read_lines(self.path / "events.jsonl", self.store.root, EVENT)[0]

    def epochs(self, record: Record) -> list[dict[str, Any]]:
        """The lines of epochs.jsonl, one per finished epoch of the record's attempt, without
        incomplete and damaged ones."""
        return read_lines(self.folder(record) / "epochs.jsonl", self.store.root, EPOCH)[0]


def planned(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The manifest's entries for these trials: their ids, and their labels."""
    return [{"id": t.id, **{key: getattr(t, key) for key in LABELS}} for t in trials]
