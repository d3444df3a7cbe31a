"""Whether a store is what was written there: every folder and every file, nothing changed."""

from __future__ import annotations

import os
import tomllib

from sparsebench.errors import StoreError
from sparsebench.store import shapes
from sparsebench.store.attempts import numbers
from sparsebench.store.findings import ASIDE, NO_LINKS, RESTORE_RUN, Finding, Verdict
from sparsebench.store.inspect import entries, is_folder, lines, look_at_files, verify_attempt
from sparsebench.store.leftovers import leftovers
from sparsebench.store.names import (
    TOP,
    attempt_number,
    is_run,
    is_shelf,
    is_trial,
    scratch_writer,
)
from sparsebench.store.runs import StoredRun
from sparsebench.store.store import Store

__all__ = ["Finding", "Verdict", "verify"]

COUNTED = ("trials", "attempts", "records", "runs", "files")


def verify(store: Store) -> Verdict:
    """Look at everything and change nothing. A record from the future is damage to us."""
    verdict = Verdict(store.path)
    verdict.checked.update(dict.fromkeys(COUNTED, 0))
    _top(store, verdict)
    _trials(store, verdict)
    _runs(store, verdict)
    for path in leftovers(store.path):
        verdict.note(
            path, "a temporary file of a process that is gone", "sparsebench store rebuild"
        )
    return verdict


def _top(store: Store, verdict: Verdict) -> None:
    for path in entries(store.path):
        if path.name not in TOP and scratch_writer(path.name) is None:
            verdict.damage(path, "does not belong into a store", ASIDE)
        elif os.path.islink(path):
            verdict.damage(path, "is a link", NO_LINKS)


def _trials(store: Store, verdict: Verdict) -> None:
    for shelf in entries(store.path / "trials"):
        if not is_folder(shelf, is_shelf(shelf.name), verdict):
            continue
        for folder in entries(shelf):
            fits = is_trial(folder.name) and folder.name[:2] == shelf.name
            if not is_folder(folder, fits, verdict):
                continue
            verdict.checked["trials"] += 1
            for attempt in entries(folder):
                if is_folder(attempt, attempt_number(attempt.name) is not None, verdict):
                    verify_attempt(attempt, store.root, verdict)


def _runs(store: Store, verdict: Verdict) -> None:
    for folder in entries(store.path / "runs"):
        if not is_folder(folder, is_run(folder.name), verdict):
            continue
        look_at_files(folder, verdict, folders=True)
        if not os.path.lexists(folder / "manifest.json"):
            verdict.note(folder, "has no manifest: its run was killed before it began")
            continue
        verdict.checked["runs"] += 1
        _run(StoredRun(store, folder.name), verdict)


def _run(run: StoredRun, verdict: Verdict) -> None:
    try:
        manifest = run.manifest
    except StoreError as error:
        verdict.damage(run.path / "manifest.json", str(error), RESTORE_RUN)
        return
    suite = run.path / "suite.toml"
    try:
        if not os.path.lexists(suite):
            verdict.damage(suite, "is missing", RESTORE_RUN)
        tomllib.loads(run.suite_text)
    except (StoreError, tomllib.TOMLDecodeError, RecursionError) as error:
        verdict.damage(suite, str(error), RESTORE_RUN)
    _events(run, {planned["id"] for planned in manifest["trials"]}, verdict)


def _events(run: StoredRun, planned: set[str], verdict: Verdict) -> None:
    file = run.path / "events.jsonl"
    named = {
        (event["trial"], event["attempt"])
        for event in lines(file, run.store.root, shapes.event, RESTORE_RUN, verdict)
        if event["event"] in ("began", "recorded")
    }
    for trial, attempt in sorted(named):
        if trial not in planned:
            what = f"names trial {trial}, which the run did not plan"
            verdict.damage(file, what, RESTORE_RUN)
        elif attempt not in numbers(run.store.trial_folder(trial)):
            what = f"names attempt {attempt} at trial {trial}, which is not there"
            verdict.damage(file, what, "restore that folder, or run the suite again")
