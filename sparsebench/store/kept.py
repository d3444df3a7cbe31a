"""Checkpoints and trained networks: files that an attempt may leave beside its record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsebench.core.job import CHECKPOINT, MODEL
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import NothingMatched
from sparsebench.store.record import Record
from sparsebench.store.store import Store

OVER = (Status.OK, Status.DIVERGED)
"""A trial that ended like this is not resumed."""


def checkpoint_of(
    store: Store, trial: Trial, agrees: Callable[[dict[str, Any]], bool]
) -> Path | None:
    """The newest checkpoint of an earlier attempt at the trial that ran the code of today.

    agrees  called with the fingerprint of an attempt
    """
    for record in reversed(store.records(trial.id)):
        file = store.folder(record) / CHECKPOINT
        if record.status not in OVER and _is_own(file) and agrees(record.fingerprint):
            return file
    return None


def tidy_checkpoints(store: Store, record: Record) -> None:
    """Remove those that no attempt resumes from, now that this attempt has ended."""
    newest = store.folder(record) / CHECKPOINT
    over = record.status in OVER
    if not over and not _is_own(newest):
        return
    for one in store.records(record.trial.id):
        file = store.folder(one) / CHECKPOINT
        if over or file != newest:
            with contextlib.suppress(OSError):
                file.unlink()


def model_of(store: Store, prefix: str) -> tuple[Record, Path]:
    """The newest trained network of the trial whose id starts with `prefix`.

    Raises NothingMatched, with what to do, where none was kept.
    """
    records = store.find_trial(prefix)
    for record in reversed(records):
        if has_model(store, record):
            return record, store.folder(record) / MODEL
    if not records:
        raise NothingMatched("the trial has not ended yet: there is no trained network")
    last = records[-1]
    if last.status != Status.OK:
        raise NothingMatched(
            f"trial {last.trial.id} ended {last.status}: there is no trained network"
        )
    raise NothingMatched(
        f"trial {last.trial.id} kept no network (those above 4 MiB are not kept unasked); run it "
        "again with: sparsebench run SUITE --set keep_model=true"
    )


def has_model(store: Store, record: Record) -> bool:
    return _is_own(store.folder(record) / MODEL)


def _is_own(file: Path) -> bool:
    """A file, and no link to one that may lie anywhere."""
    return file.is_file() and not file.is_symlink()
