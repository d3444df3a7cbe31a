"""An attempt from one store into another, under a number that is free there; whole or not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.core.files import sync_folder, write_atomically
from sparsebench.store.attempts import OUTCOME, SPEC, read_outcome_data, read_spec
from sparsebench.store.plain import Damaged, open_regular, reading
from sparsebench.store.store import Store

COPIED = ("epochs.jsonl", "mem.csv", "stdout.log", "stderr.log", "checkpoint.npz", "model.npz")
"""What else an attempt may have left. Nothing of any other name is copied."""


@dataclass(frozen=True)
class Content:
    """What makes an attempt that attempt, but for its number.

    Its spec names the process and the moment, so that no other attempt has the same.
    """

    spec: Mapping[str, Any]
    outcome: Mapping[str, Any] | None

    def within(self, other: Content) -> bool:
        """Whether the other is the same attempt, and tells no less of it."""
        return self.spec == other.spec and self.outcome in (None, other.outcome)


def content_of(folder: Path, root: str) -> Content:
    """Raises Damaged for what is not whole."""
    spec = read_spec(folder / SPEC, root)
    outcome: Mapping[str, Any] | None = None
    if os.path.lexists(folder / OUTCOME):
        outcome = read_outcome_data(folder / OUTCOME, root)
    return Content(_unnumbered(spec), None if outcome is None else _unnumbered(outcome))


def look_through(folder: Path, root: str) -> None:
    """Raises Damaged if any of it could not be copied."""
    content_of(folder, root)
    for name in COPIED:
        if os.path.lexists(folder / name):
            with reading(folder / name):
                open_regular(folder / name, root).close()


def transfer(store: Store, trial_id: str, source: Path, root: str) -> tuple[int, bool]:
    """Its number in `store`, and whether it had to be copied.

    What is there already is not copied again; where it was copied while it was under way, it is
    completed.
    """
    wanted = content_of(source, root)
    with store.locked():
        there = dict(_there(store, trial_id))
        for number, content in there.items():
            if wanted.within(content):
                return number, False
        unfinished = (number for number, content in there.items() if content.within(wanted))
        number = next(unfinished, max(store.attempts(trial_id), default=0) + 1)
        _copy(wanted, source, root, store.trial_folder(trial_id) / str(number))
    return number, True


def _there(store: Store, trial_id: str) -> Iterator[tuple[int, Content]]:
    for number in store.attempts(trial_id):
        with contextlib.suppress(Damaged):
            yield number, content_of(store.attempt_folder(trial_id, number), store.root)


def _copy(content: Content, source: Path, root: str, target: Path) -> None:
    """Beside its place first; one rename then puts it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir()
        for name in COPIED:
            if os.path.lexists(source / name):
                _copy_file(source / name, root, scratch / name)
        number = {"attempt": int(target.name)}
        write_atomically(scratch / SPEC, json.dumps({**content.spec, **number}))
        if content.outcome is not None:
            write_atomically(scratch / OUTCOME, json.dumps({**content.outcome, **number}))
        if target.exists():
            _complete(scratch, target)
        else:
            os.rename(scratch, target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _complete(scratch: Path, target: Path) -> None:
    """The outcome comes last: with it the attempt has ended."""
    for name in (*COPIED, OUTCOME):
        if (scratch / name).exists():
            os.replace(scratch / name, target / name)
    sync_folder(target)


def _copy_file(file: Path, root: str, target: Path) -> None:
    with reading(file):
        stream = open_regular(file, root)
    with stream, target.open("xb") as copy:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _unnumbered(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "attempt"}
