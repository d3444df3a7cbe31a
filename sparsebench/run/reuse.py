"""Which trials need no process: their record is there, or they cannot run here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsebench.core.observer import why_unobservable
from sparsebench.core.status import Status
from sparsebench.core.trial import Trial
from sparsebench.errors import DataChanged
from sparsebench.registry import Plugins
from sparsebench.run.fingerprint import agrees, entries, observers
from sparsebench.run.options import Options
from sparsebench.store.record import NEVER_REUSED, Record

DATA_CHANGED = DataChanged.__name__
"""The cause of a record that is of other data than its trial."""


def absent(trial: Trial, plugins: Plugins) -> tuple[Status, str] | None:
    """Why a trial cannot run here: no data, a component that is not available, or a trainer that
    shows its network to no such observer."""
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


def reusable(
    trial: Trial, records: Sequence[Record], fingerprint: dict[str, Any], options: Options
) -> Record | None:
    """The newest of a trial's records (the oldest first) that stands for running it again."""
    if not shares(options):
        return None
    for record in reversed(records):
        if record.status in NEVER_REUSED or record.cause == DATA_CHANGED or record.debug:
            continue
        if not record.trial.observes_all_of(trial):
            continue
        if options.reuse_stale or agrees(record.fingerprint, fingerprint):
            return record if _still_stands(record, trial, options) else None
    return None


def shares(options: Options) -> bool:
    """Whether what others have done, or are doing, may stand for a trial of this run."""
    return options.resume and options.rerun != "all" and not options.debug


def _still_stands(record: Record, trial: Trial, options: Options) -> bool:
    if record.failed and options.rerun == "failed":
        return False
    if record.status == Status.OUT_OF_MEMORY:
        return _no_larger(trial.memory_limit, record.trial.memory_limit)
    if record.status == Status.TIMEOUT:
        return _no_larger(trial.timeout, record.trial.timeout)
    return True


def _no_larger(today: float | None, recorded: float | None) -> bool:
    """Of two limits; None is no limit."""
    return recorded is None or (today is not None and today <= recorded)
