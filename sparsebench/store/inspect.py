"""One attempt of a store, looked at file by file."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sparsebench.core.trial import NOT_COMPUTED, Trial
from sparsebench.errors import StoreError
from sparsebench.store import alive, shapes
from sparsebench.store.attempts import OUTCOME, SPEC, read_outcome, read_spec
from sparsebench.store.findings import ASIDE, NO_LINKS, RESTORE, Verdict
from sparsebench.store.names import scratch_writer
from sparsebench.store.plain import open_regular, parse_lines, read_bytes, reading


def verify_attempt(folder: Path, root: str, verdict: Verdict) -> None:
    verdict.checked["attempts"] += 1
    look_at_files(folder, verdict)
    spec = _spec(folder, root, verdict)
    if os.path.lexists(folder / OUTCOME):
        _outcome(folder, root, spec, verdict)
    elif not os.path.lexists(folder / SPEC):
        verdict.note(folder, "is empty: it was begun by a process that was killed at once")
    elif spec is not None and not alive.is_alive(spec["process"]):
        verdict.note(folder, "has no outcome, and its process is gone: interrupted")
    lines(folder / "epochs.jsonl", root, shapes.epoch, RESTORE, verdict)
    for file in sorted(folder.glob("*.npz")):
        _archive(file, root, verdict)


def look_at_files(folder: Path, verdict: Verdict, *, folders: bool = False) -> None:
    """Regular files only; and folders, where such may be."""
    for path in entries(folder):
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            verdict.damage(path, "is a link", NO_LINKS)
        elif not (stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode))):
            verdict.damage(path, "is no regular file", ASIDE)
        verdict.checked["files"] += 1


def is_folder(path: Path, fits: bool, verdict: Verdict) -> bool:
    """Whether it is one, of a name that belongs there; says so if not."""
    if os.path.islink(path):
        verdict.damage(path, "is a link", NO_LINKS)
    elif fits and path.is_dir():
        return True
    elif scratch_writer(path.name) is None:
        verdict.damage(path, "does not belong there", ASIDE)
    return False


def lines(
    file: Path,
    root: str,
    accept: Callable[[Any], dict[str, Any]],
    do: str,
    verdict: Verdict,
) -> list[dict[str, Any]]:
    """Those of a JSONL file that are whole. Torn is only the last, and that is a note."""
    if not os.path.lexists(file):
        return []
    try:
        with reading(file):
            taken, damaged, torn = parse_lines(read_bytes(file, root), accept)
    except StoreError as error:
        verdict.damage(file, str(error), do)
        return []
    for number, why in damaged:
        verdict.damage(file, f"line {number}: {why}", do)
    if torn:
        verdict.note(file, "its last line was cut off; it is passed over")
    return taken


def entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, by name; nothing where there is none."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}") from None
    for name in names:
        yield folder / name


def _spec(folder: Path, root: str, verdict: Verdict) -> dict[str, Any] | None:
    file = folder / SPEC
    if not os.path.lexists(file):
        if os.path.lexists(folder / OUTCOME):
            verdict.damage(file, "is missing, though the attempt has ended", RESTORE)
        return None
    try:
        spec = read_spec(file, root)
    except StoreError as error:
        verdict.damage(file, str(error), RESTORE)
        return None
    _identity(file, spec["trial"], verdict)
    return spec


def _outcome(folder: Path, root: str, spec: Mapping[str, Any] | None, verdict: Verdict) -> None:
    file = folder / OUTCOME
    try:
        record = read_outcome(file, root)
    except StoreError as error:
        verdict.damage(file, str(error), RESTORE)
        return
    verdict.checked["records"] += 1
    _identity(file, record.trial.to_json(), verdict)
    if spec is not None and Trial.from_json(spec["trial"]).id != record.trial.id:
        verdict.damage(file, "is of another trial than its spec.json", RESTORE)


def _identity(file: Path, data: Mapping[str, Any], verdict: Verdict) -> None:
    """Its id is that of the folder. A trial without something that ids are made of today is of
    an older format, whose ids nobody can compute any more."""
    made_of = {part.name for part in fields(Trial)} - set(NOT_COMPUTED)
    if made_of <= set(data) and (found := Trial.from_json(data).id) != file.parent.parent.name:
        verdict.damage(file, f"is of trial {found}", RESTORE)


def _archive(file: Path, root: str, verdict: Verdict) -> None:
    """The sum of every member is right; numpy is not asked."""
    again = "delete it: nothing else depends on it"
    try:
        with open_regular(file, root) as stream, zipfile.ZipFile(stream) as archive:
            broken = archive.testzip()
    except Exception as error:  # zipfile raises what it likes where bytes were changed
        verdict.damage(file, f"cannot be read: {error}", again)
        return
    if broken is not None:
        verdict.damage(file, f"its member {broken} is not what was written", again)
