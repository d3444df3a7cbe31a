"""Decides which trials need not run: a record is reused, another run has the trial, or it cannot
run here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sparsebench.core.observer import why_unobservable
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import DataChanged
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import agrees, entries, observers
from sparsebench.run.options import Listener, Options
from sparsebench.store.attempts import DAMAGED, OUTCOME, SPEC, Attempt, is_alive, read_spec
from sparsebench.store.record import NEVER_REUSED, Record
from sparsebench.store.safe_files import Damaged
from sparsebench.store.store import Store
from sparsebench.suite.labels import label

PERIOD = 0.2
"""Seconds between two checks of other runs' trials."""


def why_not_runnable(trial: Trial, plugins: Plugins) -> tuple[Status, str] | None:
    """Why a trial cannot run here, or None: its data are missing, a component is not available, or
    its trainer does not support one of its observers."""
    if "missing" in trial.data:
        return Status.SKIPPED, str(trial.data["missing"])
    for entry in (*entries(trial, plugins), *observers(trial, plugins)):
        reason = entry.unavailable()
        if reason is not None:
            return Status.UNSUPPORTED, f"{entry.kind} {entry.name!r} {reason}"
    trainer = plugins.parameters("trainer", trial.trainer)
    watching = {one["name"]: plugins.parameters("observer", one) for one in trial.observers}
    hidden = why_unobservable(trainer, trial.trainer["name"], watching)
    return (Status.UNSUPPORTED, hidden) if hidden is not None else None


def shares(options: Options) -> bool:
    """Whether results of other runs may be used instead of running a trial."""
    return options.resume and options.rerun != "all" and not options.debug


def reusable(
    trial: Trial, records: Sequence[Record], fingerprint: dict[str, Any], options: Options
) -> Record | None:
    """The newest finished record of a trial with the same code, or None if it may not be reused.
    `records` are the oldest first.

    A damaged record hides what the newest attempt found, so nothing older is reused.
    A failure is reused unless failed trials are rerun. Running out of memory or time is reused only
    if the present limit is no larger.
    """
    for record in reversed(records) if shares(options) else ():
        if record.cause == DAMAGED:
            return None
        if record.status in NEVER_REUSED or record.cause == DataChanged.__name__ or record.debug:
            continue
        if not record.trial.observes_all_of(trial):
            continue
        if options.reuse_stale or agrees(record.fingerprint, fingerprint):
            name = {Status.OUT_OF_MEMORY: "memory_limit", Status.TIMEOUT: "timeout"}.get(
                record.status
            )
            limit, recorded = (getattr(t, name) if name else None for t in (trial, record.trial))
            holds = recorded is None or (limit is not None and limit <= recorded)
            again = record.failed and options.rerun == "failed"
            return record if holds and not again else None
    return None


class ConcurrentRuns:
    """The trials that other runs on the same store are running; falsy if there are none."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self._store = store
        self._listener = listener
        self._trials: dict[str, tuple[Trial, Attempt]] = {}
        self._looked = 0.0

    def __bool__(self) -> bool:
        return bool(self._trials)

    def has(self, trial: Trial) -> bool:
        """Whether another process runs the trial. If so, `ended` returns the trial later."""
        found = self._store.under_way_elsewhere(trial.id)
        if found is None:
            return False
        attempt, run = found
        self._trials[trial.id] = (trial, attempt)
        whose = f"run {run}" if run else "another run"
        self._listener.note(f"{label(trial)}: waits for {whose}, which has it under way")
        return True

    def ended(self) -> list[Trial]:
        """Trials that no other run is working on any more; they are reused or run by the caller."""
        now = time.monotonic()
        if not self._trials or now - self._looked < PERIOD:
            return []
        self._looked = now
        over = [trial for trial, attempt in self._trials.values() if self._is_over(attempt)]
        for trial in over:
            del self._trials[trial.id]
        return over

    def forget(self) -> None:
        self._trials.clear()

    def _is_over(self, attempt: Attempt) -> bool:
        if (attempt.folder / OUTCOME).exists():
            return True
        try:
            spec = read_spec(attempt.folder / SPEC, self._store.root)
        except Damaged:
            return True
        return not is_alive(spec["process"])
