"""Checking that a store is what was written there, and removing what killed processes left."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.store import alive
from sparsebench.store.attempts import OUTCOME, SPEC, numbers, read_outcome, read_spec
from sparsebench.store.json_files import open_regular, read_lines
from sparsebench.store.models import EPOCH, EVENT
from sparsebench.store.names import (
    TOP,
    attempt_number,
    is_run,
    is_shelf,
    is_trial,
    scratch_writer,
)
from sparsebench.store.store import Store, StoredRun, names_in

RESTORE = "restore it from a copy, or delete the attempt's folder and run its suite again"
RESTORE_RUN = "restore it from a copy, or delete the run's folder; its trials stay"
ASIDE = "move it out of the store"
NO_LINKS = "put what it points to in its place"


@dataclass(frozen=True)
class Finding:
    """severity  damage, or note: harmless, left by a process that was killed
    path      in the store
    next      what to do about it; empty if nothing needs to be done
    """

    severity: Literal["damage", "note"]
    path: str
    what: str
    next: str = ""


@dataclass
class Verdict:
    """What was looked at, and what was found."""

    store: Path
    checked: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def damaged(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "damage"]

    def damage(self, path: Path, what: object, do: str) -> None:
        self._add("damage", path, str(what), do)

    def note(self, path: Path, what: str, do: str = "") -> None:
        self._add("note", path, what, do)

    def _add(self, severity: Literal["damage", "note"], path: Path, what: str, do: str) -> None:
        what = what.removeprefix(f"{path} ").removeprefix(f"{path}: ")
        self.findings.append(Finding(severity, str(path.relative_to(self.store)), what, do))


def verify(store: Store) -> Verdict:
    """Look at everything and change nothing. A record of a newer version counts as damage."""
    verdict = Verdict(store.path)
    verdict.checked.update(dict.fromkeys(("trials", "attempts", "records", "runs", "files"), 0))
    for path in _paths(store.path):
        if path.name not in TOP and scratch_writer(path.name) is None:
            verdict.damage(path, "does not belong into a store", ASIDE)
        elif os.path.islink(path):
            verdict.damage(path, "is a link", NO_LINKS)
    for shelf in _paths(store.path / "trials"):
        if not _is_folder(shelf, is_shelf(shelf.name), verdict):
            continue
        for folder in _paths(shelf):
            fits = is_trial(folder.name) and folder.name[:2] == shelf.name
            if not _is_folder(folder, fits, verdict):
                continue
            verdict.checked["trials"] += 1
            for attempt in _paths(folder):
                if _is_folder(attempt, attempt_number(attempt.name) is not None, verdict):
                    _verify_attempt(attempt, store.root, verdict)
    for folder in _paths(store.path / "runs"):
        if _is_folder(folder, is_run(folder.name), verdict):
            _verify_run(StoredRun(store, folder.name), verdict)
    for path in leftovers(store.path):
        verdict.note(
            path, "a temporary file of a process that is gone", "sparsebench store rebuild"
        )
    return verdict


def leftovers(store: Path) -> Iterator[Path]:
    """Temporary files and folders whose writer is gone. No link is followed."""
    for folder, folders, files in os.walk(store):
        if Path(folder) == store:
            folders[:] = [name for name in folders if name in TOP]
        for name in sorted([*folders, *files]):
            path = Path(folder) / name
            writer = scratch_writer(name)
            if writer is not None and not path.is_symlink() and not alive.is_there(writer):
                yield path
        folders[:] = [name for name in folders if scratch_writer(name) is None]


def remove_leftovers(store: Path) -> int:
    """Returns how many were removed; one that cannot be removed stays."""
    removed = 0
    for path in list(leftovers(store)):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed += 1
    return removed


def _verify_run(run: StoredRun, verdict: Verdict) -> None:
    _check_files(run.path, verdict, folders=True)
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
    events = _lines(file, run.store.root, EVENT, RESTORE_RUN, verdict)
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
    _check_files(folder, verdict)
    ended, spec = os.path.lexists(folder / OUTCOME), None
    if os.path.lexists(folder / SPEC):
        try:
            spec = read_spec(folder / SPEC, root)
            _check_id(folder / SPEC, spec["trial"], verdict)
        except StoreError as error:
            verdict.damage(folder / SPEC, error, RESTORE)
    elif ended:
        verdict.damage(folder / SPEC, "is missing, though the attempt has ended", RESTORE)
    else:
        verdict.note(folder, "is empty: it was begun by a process that was killed at once")
    if ended:
        try:
            trial = read_outcome(folder / OUTCOME, root).trial
            verdict.checked["records"] += 1
            _check_id(folder / OUTCOME, trial, verdict)
            if spec is not None and spec["trial"].id != trial.id:
                verdict.damage(folder / OUTCOME, "is of another trial than its spec.json", RESTORE)
        except StoreError as error:
            verdict.damage(folder / OUTCOME, error, RESTORE)
    elif spec is not None and not alive.is_alive(spec["process"]):
        verdict.note(folder, "has no outcome, and its process is gone: interrupted")
    _lines(folder / "epochs.jsonl", root, EPOCH, RESTORE, verdict)
    for file in sorted(folder.glob("*.npz")):
        again = "delete it: nothing else depends on it"
        try:
            with open_regular(file, root) as stream, zipfile.ZipFile(stream) as archive:
                broken = archive.testzip()
        except Exception as error:  # zipfile raises many types where bytes were changed
            verdict.damage(file, f"cannot be read: {error}", again)
            continue
        if broken is not None:
            verdict.damage(file, f"its member {broken} is not what was written", again)


def _check_id(file: Path, trial: Trial, verdict: Verdict) -> None:
    if trial.id != file.parent.parent.name:
        verdict.damage(file, f"is of trial {trial.id}", RESTORE)


def _check_files(folder: Path, verdict: Verdict, *, folders: bool = False) -> None:
    """Only regular files may lie there; and folders, where these are allowed."""
    for path in _paths(folder):
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            verdict.damage(path, "is a link", NO_LINKS)
        elif not (stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode))):
            verdict.damage(path, "is no regular file", ASIDE)
        verdict.checked["files"] += 1


def _is_folder(path: Path, fits: bool, verdict: Verdict) -> bool:
    """Whether it is a folder with a name that fits there; anything else is damage."""
    if os.path.islink(path):
        verdict.damage(path, "is a link", NO_LINKS)
    elif fits and path.is_dir():
        return True
    elif scratch_writer(path.name) is None:
        verdict.damage(path, "does not belong there", ASIDE)
    return False


def _lines(
    file: Path, root: str, form: TypeAdapter[dict[str, Any]], do: str, verdict: Verdict
) -> list[dict[str, Any]]:
    """The sound lines of a JSONL file. A last line that was cut off is only a note."""
    try:
        sound, damaged, torn = read_lines(file, root, form)
    except StoreError as error:
        verdict.damage(file, error, do)
        return []
    for number, why in damaged:
        verdict.damage(file, f"line {number}: {why}", do)
    if torn:
        verdict.note(file, "its last line was cut off; it is passed over")
    return sound


def _paths(folder: Path) -> Iterator[Path]:
    return (folder / name for name in names_in(folder))
