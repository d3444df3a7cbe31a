"""A disk that fills up at any moment of writing: what had finished is still there, and whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import StoreError
from sparsebench.store.record import Record
from sparsebench.store.store import Store, planned
from sparsebench.store.verify import verify

CALLS = ("write", "fsync", "replace", "mkdir", "open")


def a_run(store: Store, trial: Trial) -> None:
    """Every write of a run: its folder, an attempt's begin and end, the journal."""
    journal = store.open_run("odd", {"trials": planned([trial])}, "name = 'odd'\n")
    attempt = store.begin(trial, run=journal.id)
    journal.began(attempt)
    record = Record(trial=trial, attempt=attempt.number, status=Status.OK)
    store.finish(attempt, record)
    journal.recorded(record)
    journal.event("ended", exit_code=0)


class FullDisk:
    """From the given call of a function on, nothing can be written; `half` of a write may be."""

    def __init__(self, number: int, *, half: bool) -> None:
        self.calls = 0
        self.number = number
        self.half = half

    def replaces(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            if name == "open" and not given[1] & (os.O_WRONLY | os.O_RDWR):
                return real(*given, **more)
            self.calls += 1
            if self.calls < self.number:
                return real(*given, **more)
            if name == "write" and self.half and self.calls == self.number:
                return real(given[0], given[1][: len(given[1]) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return call


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fresh", [False, True])
def test_a_disk_that_is_full_from_the_kth_call_on(
    tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch,
    name: str, half: bool, fresh: bool,
) -> None:  # fmt: skip
    errors: list[str] = []
    for number in range(1, 60):
        store = Store(tmp_path / f"store-{number}")
        before = []
        if not fresh:
            a_run(store, trial)
            before = store.records(trial.id)
        disk = FullDisk(number, half=half)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, disk.replaces(getattr(os, name), name))
            try:
                a_run(store, replace(trial, seed=1))
            except StoreError as error:
                errors.append(str(error))
        again = Store(store.path)
        assert not verify(again).damaged
        assert again.records(trial.id) == before
        for run in again.runs():
            assert all(r.status in ("ok", "interrupted") for r in again.run(run).records)
        if disk.calls < number:
            break
    assert all("the disk is full; finished trials are kept" in line for line in errors)
    assert len(errors) == number - 1 >= 1
