"""An attempt at a trial, as its folder tells of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.store import alive, shapes
from sparsebench.store.names import attempt_number
from sparsebench.store.plain import Damaged, read_object, reading
from sparsebench.store.record import Record, upgrade

OUTCOME, SPEC = "outcome.json", "spec.json"
GONE = "its supervisor was gone before it ended"


@dataclass(frozen=True)
class Attempt:
    """An attempt that has been begun: where its process leaves what it writes."""

    trial: Trial
    number: int
    folder: Path


@dataclass(frozen=True, kw_only=True)
class LostTrial(Trial):
    """Stands for a trial of which only the id is known: every file that told of it is damaged."""

    known_id: str

    @property
    def id(self) -> str:
        return self.known_id

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_json().items() if key != "known_id"}


def numbers(trial_folder: Path) -> list[int]:
    """The attempts there are; whatever else lies there is passed over."""
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
    outcome = folder / OUTCOME
    try:
        if os.path.lexists(outcome):
            return read_outcome(outcome, root)
        if not os.path.lexists(folder / SPEC):
            return None
        spec = read_spec(folder / SPEC, root)
    except Damaged as error:
        return lost(folder, root, f"damaged: {error}")
    return None if alive.is_alive(spec["process"]) else _cut_off(spec)


def read_outcome(file: Path, root: str) -> Record:
    """Damaged if it is not what an attempt of this folder's number leaves."""
    data = read_outcome_data(file, root)
    with reading(file):
        return Record.from_json(data)


def read_outcome_data(file: Path, root: str) -> Mapping[str, Any]:
    """In today's format, and looked through; see `read_outcome`."""
    data: Mapping[str, Any] = read_object(file, root)
    with reading(file):
        try:
            data = upgrade(data)
        except StoreError as error:
            raise StoreError(f"{file}: {error}") from None
        shapes.RECORD(data, "the record")
        _check_number(data["attempt"], file)
        Status(data["status"])
    return data


def read_spec(file: Path, root: str) -> dict[str, Any]:
    """What was known when the attempt began: trial, attempt, fingerprint, started, process."""
    spec = read_object(file, root)
    with reading(file):
        shapes.SPEC(spec, "the spec")
        _check_number(spec["attempt"], file)
        Trial.from_json(spec["trial"])
    return spec


def lost(folder: Path, root: str, detail: str) -> Record:
    """The row of an attempt whose record cannot be had."""
    return Record(
        trial=_trial_of(folder.parent, root),
        attempt=int(folder.name),
        status=Status.INTERRUPTED,
        cause="damaged",
        detail=detail,
    )


def _cut_off(spec: Mapping[str, Any]) -> Record:
    return Record(
        trial=Trial.from_json(spec["trial"]),
        attempt=spec["attempt"],
        status=Status.INTERRUPTED,
        detail=GONE,
        fingerprint=spec["fingerprint"],
        started=spec["started"],
    )


def _check_number(found: int, file: Path) -> None:
    if str(found) != file.parent.name:
        raise ValueError(f"it is of attempt {found}")


def _trial_of(folder: Path, root: str) -> Trial:
    """What any of a trial's files still tells of it."""
    for told in _told(folder, root):
        trial = Trial.from_json(told["trial"])
        if trial.id == folder.name:
            return trial
    nameless = {"name": ""}
    return LostTrial(
        known_id=folder.name,
        dataset=nameless, model=nameless, topology=nameless, optimizer=nameless,
        trainer=nameless, backend=nameless, epochs=0, batch_size=0, threads=0, seed=0,
    )  # fmt: skip


def _told(folder: Path, root: str) -> Iterator[Mapping[str, Any]]:
    for number in reversed(numbers(folder)):
        for name, read in ((SPEC, read_spec), (OUTCOME, read_outcome_data)):
            try:
                told = read(folder / str(number) / name, root)
                Trial.from_json(told["trial"])
            except (StoreError, TypeError):
                continue
            yield told
