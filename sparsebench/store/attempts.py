"""One attempt at a trial, as the files of its folder have it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import PARTS, Trial
from sparsebench.errors import StoreError
from sparsebench.store import alive
from sparsebench.store.json_files import Damaged, parse, read_bytes, read_json, reading
from sparsebench.store.models import SPEC as SPEC_FORM
from sparsebench.store.names import attempt_number
from sparsebench.store.record import RECORD, Record

OUTCOME, SPEC = "outcome.json", "spec.json"


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun: where its process leaves what it writes."""

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

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_json().items() if key != "known_id"}


def numbers(trial_folder: Path) -> list[int]:
    """The numbers of the attempts in a trial's folder; other files are passed over."""
    try:
        names = os.listdir(trial_folder)
    except OSError:
        return []
    return sorted(number for name in names if (number := attempt_number(name)) is not None)


def read_attempt(folder: Path, root: str) -> Record | None:
    """The record of the attempt in `<root>/trials/<aa>/<trial>/<number>`.

    None while it is under way; interrupted if its supervisor is gone, or if what is left of it
    is damaged, which the detail then says. A record from the future raises StoreError.
    """
    try:
        if os.path.lexists(folder / OUTCOME):
            return read_outcome(folder / OUTCOME, root)
        if not os.path.lexists(folder / SPEC):
            return None
        spec = read_spec(folder / SPEC, root)
    except Damaged as error:
        return lost(folder, root, f"damaged: {error}")
    if alive.is_alive(spec["process"]):
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
    """Damaged if it is not the record of an attempt of this folder's number."""
    with reading(file):
        content = read_bytes(file, root)
        try:
            record = parse(content, RECORD)
        except StoreError as error:
            raise StoreError(f"{file}: {error}") from None
        _check_number(record.attempt, file)
    return record


def read_spec(file: Path, root: str) -> dict[str, Any]:
    """What was known when the attempt began: trial, attempt, fingerprint, started, process."""
    spec = read_json(file, root, SPEC_FORM)
    with reading(file):
        _check_number(spec["attempt"], file)
    return spec


def lost(folder: Path, root: str, detail: str) -> Record:
    """The record that stands for an attempt whose own one cannot be read."""
    return Record(
        trial=_trial_of(folder.parent, root),
        attempt=int(folder.name),
        status=Status.INTERRUPTED,
        cause="damaged",
        detail=detail,
    )


def _check_number(found: int, file: Path) -> None:
    if str(found) != file.parent.name:
        raise ValueError(f"it is of attempt {found}")


def _trial_of(folder: Path, root: str) -> Trial:
    """The trial, from whichever of its attempts' files can still be read."""
    for number in reversed(numbers(folder)):
        for name, trial_in in ((SPEC, _trial_in_spec), (OUTCOME, _trial_in_outcome)):
            try:
                trial = trial_in(folder / str(number) / name, root)
            except StoreError:
                continue
            if trial.id == folder.name:
                return trial
    nameless: Mapping[str, Any] = {part: {"name": ""} for part in PARTS}
    return LostTrial(known_id=folder.name, **nameless, epochs=0, batch_size=0, threads=0, seed=0)


def _trial_in_spec(file: Path, root: str) -> Trial:
    trial: Trial = read_spec(file, root)["trial"]
    return trial


def _trial_in_outcome(file: Path, root: str) -> Trial:
    return read_outcome(file, root).trial
