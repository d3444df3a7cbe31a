"""The trials of a store: a folder per attempt, begun when it is and finished by its outcome."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sparsebench.core.files import jsonable, write_atomically, writing_to
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched, StoreError
from sparsebench.store import alive
from sparsebench.store.attempts import Attempt, numbers, read_attempt, read_spec
from sparsebench.store.locking import StoreLock
from sparsebench.store.marker import make_or_raise, read_schema
from sparsebench.store.names import is_attempt, is_trial
from sparsebench.store.plain import Damaged, read_bytes, reading
from sparsebench.store.record import Record, utc_now

NEEDED_ONCE = ("result.json", "progress.json", "progress.tmp")
"""What an attempt leaves that nobody needs after its outcome."""


class TrialStore:
    """The outcomes in a folder. It is made on the first write, not before.

    root  the folder with every link of its own resolved: nothing outside it is read
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.root = os.path.realpath(path)
        self.schema = read_schema(self.path, self.root)
        self._lock = StoreLock(self.path)

    # --- reading ----------------------------------------------------------------------

    def trial_ids(self, prefix: str = "") -> list[str]:
        """Of all trials, or of those whose id starts so."""
        folder = self.path / "trials"
        shelves = [prefix[:2]] if len(prefix) >= 2 and prefix[:2].isalnum() else names_in(folder)
        return [
            name
            for shelf in shelves
            for name in names_in(folder / shelf)
            if is_trial(name) and name[:2] == shelf and name.startswith(prefix)
        ]

    def records(self, trial_id: str) -> list[Record]:
        """Every attempt that has ended, the oldest first."""
        found = [self.record(trial_id, number) for number in self.attempts(trial_id)]
        return [record for record in found if record is not None]

    def record(self, trial_id: str, attempt: int) -> Record | None:
        """None while the attempt is under way; interrupted if its supervisor is gone, or its
        files are damaged."""
        return read_attempt(self.attempt_folder(trial_id, attempt), self.root)

    def attempts(self, trial_id: str) -> list[int]:
        """Numbers of a trial's attempts, in order."""
        return numbers(self.trial_folder(trial_id))

    def find_trial(self, prefix: str) -> list[Record]:
        """The records of the trial whose id starts with `prefix`, the oldest first."""
        return self.records(self.trial_id(prefix))

    def trial_id(self, prefix: str) -> str:
        """The one id that starts with `prefix`."""
        matching = self.trial_ids(prefix)
        if not matching:
            raise NothingMatched(f"no trial {prefix!r} in {self.path}")
        if len(matching) > 1:
            raise StoreError(f"trial {prefix!r} is not one trial: {', '.join(matching[:5])} ...")
        return matching[0]

    def folder(self, record: Record) -> Path:
        """Where the files of a record's attempt are."""
        return self.attempt_folder(record.trial.id, record.attempt)

    def trial_folder(self, trial_id: str) -> Path:
        if not is_trial(trial_id):
            raise StoreError(f"{self.path}: {trial_id!r:.80} is no trial's id")
        return self.path / "trials" / trial_id[:2] / trial_id

    def attempt_folder(self, trial_id: str, attempt: int) -> Path:
        if not is_attempt(attempt):
            raise StoreError(f"{self.path}: {attempt!r:.80} is no attempt's number")
        return self.trial_folder(trial_id) / str(attempt)

    def log(self, trial_id: str, attempt: int, name: str) -> str:
        """What an attempt's process wrote; empty if there is no such file."""
        file = self.attempt_folder(trial_id, attempt) / name
        if not os.path.lexists(file):
            return ""
        with reading(file):
            return read_bytes(file, self.root).decode(errors="replace")

    def under_way_elsewhere(self, trial_id: str) -> tuple[Attempt, str] | None:
        """The newest attempt that another process of this machine is busy with, and its run."""
        for number in reversed(self.attempts(trial_id)):
            folder = self.attempt_folder(trial_id, number)
            if (folder / "outcome.json").exists():
                continue
            with contextlib.suppress(Damaged):
                spec = read_spec(folder / "spec.json", self.root)
                process = spec["process"]
                if process != alive.this_process() and alive.is_alive(process):
                    trial = Trial.from_json(spec["trial"])
                    return Attempt(trial, number, folder), str(spec.get("run", ""))
        return None

    # --- writing ----------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While held, no other run begins an attempt. For a moment only; see `StoreLock`."""
        with contextlib.ExitStack() as stack:
            with self._writing():
                self._create()
                stack.enter_context(self._lock.held())
            yield

    def begin(
        self, trial: Trial, *, fingerprint: Mapping[str, Any] | None = None, run: str = ""
    ) -> Attempt:
        """A new attempt at a trial, this process being its supervisor."""
        with self.locked(), self._writing():
            number, folder = self._new_folder(self.trial_folder(trial.id))
            spec = {
                "trial": trial.to_json(),
                "attempt": number,
                "fingerprint": dict(fingerprint or {}),
                "started": utc_now(),
                "process": alive.this_process(),
                **({"run": run} if run else {}),
            }
            write_atomically(folder / "spec.json", json.dumps(jsonable(spec)))
        return Attempt(trial, number, folder)

    def finish(self, attempt: Attempt, record: Record) -> None:
        """Keep the outcome, and tidy what only the attempt needed."""
        with self._writing():
            text = json.dumps(record.to_json())
            write_atomically(attempt.folder / "outcome.json", text)
        for name in NEEDED_ONCE:
            with contextlib.suppress(OSError):
                (attempt.folder / name).unlink()

    # --- inside -----------------------------------------------------------------------

    def _new_folder(self, trial_folder: Path) -> tuple[int, Path]:
        """The next free number; another run may take it first."""
        trial_folder.mkdir(parents=True, exist_ok=True)
        number = max(numbers(trial_folder), default=0)
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
        make_or_raise(self.path, self.root)


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, sorted; nothing if it is none."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}") from None
