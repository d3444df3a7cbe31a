"""One attempt at a trial: the files of its folder and its supervising process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import StoreError
from sparsebench.store.record import RECORD, Record
from sparsebench.store.safe_files import Damaged, parse, read_bytes, read_json, reading
from sparsebench.store.schemas import SPEC as SPEC_FORM
from sparsebench.store.schemas import is_attempt

OUTCOME, SPEC = "outcome.json", "spec.json"

DAMAGED = "damaged"
"""Cause of a record that replaces one whose files cannot be read."""


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun; its process writes into `folder`."""

    trial: Trial
    number: int
    folder: Path


@dataclass(frozen=True, kw_only=True)
class LostTrial(Trial):
    """Stands for a trial of which only the id is known, because all its files are damaged."""

    known_id: str

    @property
    def id(self) -> str:
        return self.known_id

    def spec(self) -> dict[str, Any]:
        return {key: value for key, value in super().spec().items() if key != "known_id"}

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_json().items() if key != "known_id"}


def numbers(trial_folder: Path) -> list[int]:
    """The attempt numbers in a trial's folder, in order; other files are ignored."""
    try:
        return sorted(int(name) for name in os.listdir(trial_folder) if is_attempt(name))
    except OSError:
        return []


def read_attempt(folder: Path, root: str) -> Record | None:
    """The record of the attempt in `<root>/trials/<aa>/<trial>/<number>`.

    None while the attempt is running, or if its folder has neither spec.json nor outcome.json. The
    status is interrupted if its supervisor is gone without an outcome, or if its files are damaged,
    which `detail` then says. Raises StoreError for a record of a newer version.
    """
    try:
        if os.path.lexists(folder / OUTCOME):
            return read_outcome(folder / OUTCOME, root)
        if not os.path.lexists(folder / SPEC):
            return None
        spec = read_spec(folder / SPEC, root)
    except Damaged as error:
        return lost(folder, root, f"damaged: {error}")
    if is_alive(spec["process"]):
        return None
    return Record(
        trial=spec["trial"],
        attempt=spec["attempt"],
        status=Status.INTERRUPTED,
        detail="its supervisor was gone before it ended",
        fingerprint=spec["fingerprint"],
        started=spec["started"],
    )


def read_outcome(file: Path, root: str) -> Record:
    """Read outcome.json. Raises Damaged if it is not the record of this folder's attempt."""
    with reading(file):
        content = read_bytes(file, root)
        try:
            record = parse(content, RECORD)
        except StoreError as error:
            raise StoreError(f"{file}: {error}") from None
        _check_number(record.attempt, file)
    return record


def read_spec(file: Path, root: str) -> dict[str, Any]:
    """Read spec.json, written when the attempt began: trial, attempt number, fingerprint, start and
    supervising process. Raises Damaged."""
    spec = read_json(file, root, SPEC_FORM)
    with reading(file):
        _check_number(spec["attempt"], file)
    return spec


def _check_number(found: int, file: Path) -> None:
    if str(found) != file.parent.name:
        raise ValueError(f"it is of attempt {found}")


def lost(folder: Path, root: str, detail: str) -> Record:
    """A record that replaces the unreadable record of an attempt. Its trial is read from any other
    intact file of that trial, else it is a `LostTrial`."""
    nameless: Mapping[str, Any] = {part: {"name": ""} for part in PARTS}
    trial: Trial = LostTrial(
        known_id=folder.parent.name, **nameless, epochs=0, batch_size=0, threads=0, seed=0
    )
    for number in numbers(folder.parent):
        for name in (OUTCOME, SPEC):
            file = folder.parent / str(number) / name
            try:
                found = vars(read_outcome(file, root)) if name == OUTCOME else read_spec(file, root)
            except StoreError:
                continue
            if found["trial"].id == folder.parent.name:
                trial = found["trial"]
    return Record(
        trial=trial,
        attempt=int(folder.name),
        status=Status.INTERRUPTED,
        cause=DAMAGED,
        detail=detail,
    )


# --- processes ------------------------------------------------------------------------


def this_process() -> dict[str, Any]:
    """This process as `is_alive` takes it: boot and start time too, because pids are recycled."""
    return {"pid": os.getpid(), "boot": _boot(), "start": _start(os.getpid())}


def is_alive(process: Mapping[str, Any]) -> bool:
    """Whether a process described by `this_process` still runs, on this boot of this machine."""
    pid = int(process["pid"])
    if process["boot"] != _boot():
        return False
    if process["start"] is not None:
        return bool(_start(pid) == process["start"])
    return is_there(pid)


def is_there(pid: int) -> bool:
    """Whether any process of this machine has that pid now."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> int | None:
    """Start time in ticks since boot; None if the process has ended, a zombie included, or if there
    is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else int(fields[18])
