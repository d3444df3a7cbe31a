"""Checks that a store is intact, and removes what killed processes left."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.store.attempts import (
    OUTCOME,
    SPEC,
    is_alive,
    is_there,
    numbers,
    read_outcome,
    read_spec,
)
from sparsebench.store.safe_files import open_regular, read_lines
from sparsebench.store.schemas import (
    EPOCH,
    EVENT,
    TOP_LEVEL_NAMES,
    is_attempt,
    is_run,
    scratch_writer,
)
from sparsebench.store.store import Store, StoredRun, names_in

RESTORE = "restore it from a copy, or delete the attempt's folder and run its suite again"
RESTORE_RUN = "restore it from a copy, or delete the run's folder; its trials stay"
ASIDE = "move it out of the store"
NO_LINKS = "put what it points to in its place"


@dataclass(frozen=True)
class Finding:
    """Something in the store that is not as it should be.

    severity  damage, or note: harmless, left by a killed process
    path      of the file or folder, relative to the store
    what      what is wrong with it
    next      what to do; empty if nothing needs to be done
    """

    severity: Literal["damage", "note"]
    path: str
    what: str
    next: str = ""


@dataclass
class Verdict:
    """The number of checked files of each kind, and the findings."""

    store: Path
    checked: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def damaged(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "damage"]

    def damage(self, path: Path, what: object, do: str) -> None:
        text = str(what).removeprefix(f"{path} ").removeprefix(f"{path}: ")
        self.findings.append(Finding("damage", str(path.relative_to(self.store)), text, do))

    def note(self, path: Path, what: str, do: str = "") -> None:
        self.findings.append(Finding("note", str(path.relative_to(self.store)), what, do))

    def folders(self, parent: Path, fits: Callable[[str], object]) -> Iterator[Path]:
        """Yield the folders in `parent` whose names `fits` accepts. Anything else there, except
        temporary files, is noted as damage."""
        for path in _paths(parent):
            if os.path.islink(path):
                self.damage(path, "is a link", NO_LINKS)
            elif fits(path.name) and path.is_dir():
                yield path
            elif scratch_writer(path.name) is None:
                self.damage(path, "does not belong there", ASIDE)

    def files(self, folder: Path, *, folders: bool = False) -> None:
        """Note as damage what is not a regular file in the folder, nor a folder if `folders`."""
        for path in _paths(folder):
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                self.damage(path, "is a link", NO_LINKS)
            elif not (stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode))):
                self.damage(path, "is not a regular file", ASIDE)
            self.checked["files"] += 1

    def lines(
        self, file: Path, root: str, form: TypeAdapter[dict[str, Any]], do: str
    ) -> list[dict[str, Any]]:
        """Return the sound lines of a JSONL file, and note each other line as damage, with `do` as
        what to do. A last line that was cut off is only a note."""
        try:
            sound, damaged, torn = read_lines(file, root, form)
        except StoreError as error:
            self.damage(file, error, do)
            return []
        for number, why in damaged:
            self.damage(file, f"line {number}: {why}", do)
        if torn:
            self.note(file, "its last line was cut off; it is ignored")
        return sound


def verify(store: Store) -> Verdict:
    """Check everything and change nothing. A record of a newer version counts as damage."""
    verdict = Verdict(store.path)
    verdict.checked.update(dict.fromkeys(("trials", "attempts", "records", "runs", "files"), 0))
    for path in _paths(store.path):
        if path.name not in TOP_LEVEL_NAMES and scratch_writer(path.name) is None:
            verdict.damage(path, "does not belong into a store", ASIDE)
        elif os.path.islink(path):
            verdict.damage(path, "is a link", NO_LINKS)
    for shelf in verdict.folders(store.path / "trials", re.compile("[0-9a-f]{2}").fullmatch):
        for trial in verdict.folders(shelf, re.compile(shelf.name + "[0-9a-f]{14}").fullmatch):
            verdict.checked["trials"] += 1
            for attempt in verdict.folders(trial, is_attempt):
                _verify_attempt(attempt, store.root, verdict)
    for folder in verdict.folders(store.path / "runs", is_run):
        _verify_run(StoredRun(store, folder.name), verdict)
    for path in leftovers(store.path):
        what = "a temporary file of a process that is gone"
        verdict.note(path, what, "sparsebench store rebuild")
    return verdict


def leftovers(store: Path) -> Iterator[Path]:
    """Temporary files and folders whose writer is gone. No link is followed."""
    for folder, folders, files in os.walk(store):
        if Path(folder) == store:
            folders[:] = [name for name in folders if name in TOP_LEVEL_NAMES]
        for name in sorted([*folders, *files]):
            path = Path(folder) / name
            writer = scratch_writer(name)
            if writer is not None and not path.is_symlink() and not is_there(writer):
                yield path
        folders[:] = [name for name in folders if scratch_writer(name) is None]


def remove_leftovers(store: Path) -> int:
    """Remove the `leftovers`; one that cannot be removed stays. Returns how many were removed."""
    removed = 0
    for path in list(leftovers(store)):
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed += 1
    return removed


def _verify_run(run: StoredRun, verdict: Verdict) -> None:
    verdict.files(run.path, folders=True)
    if not os.path.lexists(run.path / "manifest.json"):
        verdict.note(run.path, "has no manifest: its run was killed before it began")
        return
    verdict.checked["runs"] += 1
    try:
        planned = {trial["id"] for trial in run.manifest["trials"]}
    except StoreError as error:
        verdict.damage(run.path / "manifest.json", error, RESTORE_RUN)
        return
    suite = run.path / "suite.toml"
    try:
        if not os.path.lexists(suite):
            verdict.damage(suite, "is missing", RESTORE_RUN)
        tomllib.loads(run.suite_text)
    except (StoreError, tomllib.TOMLDecodeError, RecursionError) as error:
        verdict.damage(suite, error, RESTORE_RUN)
    file = run.path / "events.jsonl"
    events = verdict.lines(file, run.store.root, EVENT, RESTORE_RUN)
    named = {(e["trial"], e["attempt"]) for e in events if e["event"] in ("began", "recorded")}
    for trial, attempt in sorted(named):
        if trial not in planned:
            what = f"names trial {trial}, which the run did not plan"
            verdict.damage(file, what, RESTORE_RUN)
        elif attempt not in numbers(run.store.trial_folder(trial)):
            what = f"names attempt {attempt} at trial {trial}, which is not there"
            verdict.damage(file, what, "restore that folder, or run the suite again")


def _verify_attempt(folder: Path, root: str, verdict: Verdict) -> None:
    verdict.checked["attempts"] += 1
    verdict.files(folder)
    spec_file, outcome_file = folder / SPEC, folder / OUTCOME
    ended, spec = os.path.lexists(outcome_file), None

    def check_id(file: Path, trial: Trial) -> None:
        if trial.id != folder.parent.name:
            verdict.damage(file, f"is of trial {trial.id}", RESTORE)

    if os.path.lexists(spec_file):
        try:
            spec = read_spec(spec_file, root)
            check_id(spec_file, spec["trial"])
        except StoreError as error:
            verdict.damage(spec_file, error, RESTORE)
    elif ended:
        verdict.damage(spec_file, "is missing, though the attempt has ended", RESTORE)
    else:
        verdict.note(folder, "is empty: it was begun by a process that was killed at once")
    if ended:
        try:
            trial = read_outcome(outcome_file, root).trial
            verdict.checked["records"] += 1
            check_id(outcome_file, trial)
            if spec is not None and spec["trial"].id != trial.id:
                verdict.damage(outcome_file, "is of another trial than its spec.json", RESTORE)
        except StoreError as error:
            verdict.damage(outcome_file, error, RESTORE)
    elif spec is not None and not is_alive(spec["process"]):
        verdict.note(folder, "has no outcome, and its process is gone: interrupted")
    verdict.lines(folder / "epochs.jsonl", root, EPOCH, RESTORE)
    for file in sorted(folder.glob("*.npz")):
        again = "delete it: nothing else depends on it"
        try:
            with open_regular(file, root) as stream, zipfile.ZipFile(stream) as archive:
                if (broken := archive.testzip()) is not None:
                    verdict.damage(file, f"its member {broken} is not what was written", again)
        except Exception as error:  # zipfile raises many types where bytes were changed
            verdict.damage(file, f"cannot be read: {error}", again)


def _paths(folder: Path) -> Iterator[Path]:
    return (folder / name for name in names_in(folder))
