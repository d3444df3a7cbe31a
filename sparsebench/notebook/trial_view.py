"""One trial of a run: its parameters, its measures and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sparsebench.analysis.formats import in_unit, join, one
from sparsebench.errors import NothingMatched, nearest
from sparsebench.metrics import Metrics, of_run
from sparsebench.notebook.cards import Card, Row
from sparsebench.store.record import Record
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    import pandas as pd

    from sparsebench.store.store import StoredRun

MOST_NAMED = 10


class Trial:
    """A trial with its record.

    record  its record; `run.trials()` has it as a row
    folder  of its logs, epochs and memory trace
    """

    def __init__(self, stored: StoredRun, record: Record) -> None:
        self._stored = stored
        self.record = record

    def __repr__(self) -> str:
        return f"<Trial {self.id}: {label(self.record.trial)}: {self.record.status}>"

    @property
    def id(self) -> str:
        return self.record.trial.id

    @property
    def status(self) -> str:
        return str(self.record.status)

    @property
    def folder(self) -> Path:
        return self._stored.folder(self.record)

    def epochs(self) -> pd.DataFrame:
        """A row per epoch, as `run.epochs()` has it."""
        from sparsebench.store.frames import epochs_frame

        frame = epochs_frame(self._stored)
        return frame[frame["trial"] == self.id].reset_index(drop=True)

    def log(self, stream: Literal["stdout", "stderr"] = "stderr") -> str:
        """The text that it wrote to a stream."""
        return self._stored.store.log(self.id, self.record.attempt, f"{stream}.log")

    def _repr_html_(self) -> str:
        return self.card().html()

    def card(self) -> Card:
        record = self.record
        noise = ", ".join(map(str, record.noise.get("marks", ())))
        audit = str(record.audit.get("verdict", ""))
        notes = [f"the machine was disturbed: {noise}"] if noise else []
        return Card(
            title=f"Trial {label(record.trial)}",
            facts=[join(record.status, record.cause, record.detail),
                   f"trial {self.id}, attempt {record.attempt}, {record.started}",
                   *([f"audit: {audit}"] if audit else [])],
            header=["measure", "value"], notes=notes, text=record.log_tail,
            rows=list(_measured(record, of_run(self._stored.manifest))),
        )  # fmt: skip


def find(stored: StoredRun, which: str) -> Trial:
    """By the start of its id, or by its label; NothingMatched for none or several."""
    records = stored.records
    chosen = [r for r in records if label(r.trial) == which]
    chosen = chosen or [r for r in records if which and r.trial.id.startswith(which)]
    if len(chosen) == 1:
        return Trial(stored, chosen[0])
    if chosen:
        several = ", ".join(record.trial.id for record in chosen)
        raise NothingMatched(f"run {stored.id}: {which!r} is the start of several: {several}")
    ids = [record.trial.id for record in records[:MOST_NAMED]]
    more = "; run.trials() has all" if len(records) > MOST_NAMED else ""
    raise NothingMatched(f"run {stored.id}: no trial {which!r}.{nearest(which, ids)}{more}")


def _measured(record: Record, metrics: Metrics) -> Iterator[Row]:
    for metric in metrics.with_measured(record.measures).values():
        value = record.measures.get(metric.name)
        if value is not None:
            yield Row([metric.name, in_unit(metric, one(float(value)))])
