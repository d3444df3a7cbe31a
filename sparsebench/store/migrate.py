"""A store in today's format: its marker, then every record that is older."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import write_atomically, writing_to
from sparsebench.errors import StoreError
from sparsebench.store.attempts import OUTCOME, read_outcome_data
from sparsebench.store.marker import make_or_raise
from sparsebench.store.plain import Damaged, read_object
from sparsebench.store.record import RECORD_FORMAT
from sparsebench.store.store import Store


@dataclass(frozen=True)
class Migrated:
    """records  those that were written anew; damaged: those that nobody can read"""

    schema: int
    records: int
    current: int
    damaged: tuple[str, ...]


def migrate(store: Store) -> Migrated:
    """Rewrite what is older, a file at a time: stopped anywhere, it goes on where it was."""
    if store.schema is None:
        raise StoreError(f"{store.path} is not a store: it has no store.json")
    with writing_to(store.path):
        make_or_raise(store.path, store.root)
    counts, damaged = {"records": 0, "current": 0}, []
    for file in outcomes(store):
        try:
            told = upgraded(file, store.root)
        except Damaged:
            damaged.append(str(file.relative_to(store.path)))
            continue
        counts["current" if told is None else "records"] += 1
        if told is not None:
            with writing_to(store.path):
                write_atomically(file, json.dumps(told))
    found = Store(store.path).schema
    assert found is not None
    return Migrated(found, **counts, damaged=tuple(damaged))


def outcomes(store: Store) -> Iterator[Path]:
    for trial in store.trial_ids():
        for number in store.attempts(trial):
            file = store.attempt_folder(trial, number) / OUTCOME
            if file.exists():
                yield file


def upgraded(file: Path, root: str) -> Mapping[str, Any] | None:
    """An older record in today's format; None for one that is in it."""
    if read_object(file, root).get("format") == RECORD_FORMAT:
        return None
    return read_outcome_data(file, root)
