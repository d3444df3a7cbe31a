"""Checkpoints of a trial, in its process: when one is due, what it holds, where one is found."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sparsebench import machine
from sparsebench.core.files import replacing
from sparsebench.core.job import Job
from sparsebench.core.worker.file_names import CHECKPOINT
from sparsebench.core.worker.meter import Meter

if TYPE_CHECKING:
    from sparsebench.core.archive import Archive
    from sparsebench.core.arrays import Array

# Checkpoint format history:
#   1  first version
CHECKPOINT_FORMAT = 1


class Checkpoints:
    """A `training.resuming.Keeper` over checkpoint.npz in the attempt's folder.

    The file is replaced whole: whatever happens while one is written, the one before is there.
    What earlier attempts took (seconds, peaks of memory) goes on with the trial.

    found    of the earlier attempt; None where there is none, or none that can be used
    settled  what a record's settings say of it
    """

    def __init__(self, job: Job, meter: Meter) -> None:
        self._job = job
        self._meter = meter
        self._file = job.folder / CHECKPOINT
        self._every = job.trial.checkpoint
        self._begun = self._last = time.monotonic()
        self._cpu = time.process_time()
        self._kept = 0
        self._earlier = {"wall_seconds": 0.0, "cpu_seconds": 0.0}
        self.settled: dict[str, Any] = {}
        self.found = self._find()

    def due(self) -> bool:
        return self._every is not None and time.monotonic() - self._last >= self._every

    def keep(self, facts: Mapping[str, Any], arrays: Iterator[tuple[str, Array]]) -> None:
        """A disk that is full ends checkpoints for a while, not the training."""
        from sparsebench.core.archive import write_archive

        told = {
            **facts,
            "format": CHECKPOINT_FORMAT,
            "trial": self._job.trial.id,
            "observers": self._job.trial.observers,
            "attempt": int(self._job.folder.name) if self._job.folder.name.isdecimal() else 0,
            "machine": machine.describe()["id"],
            "meter": self._meter.so_far(),
            **self.seconds(),
        }
        try:
            with replacing(self._file) as stream:
                write_archive(stream, told, arrays)
        except OSError as error:
            print(f"no checkpoint: {error}", file=sys.stderr)  # noqa: T201
        else:
            self._kept += 1
        self._last = time.monotonic()

    def seconds(self) -> dict[str, float]:
        """Of the trial until now, those of earlier attempts among them."""
        return {
            "wall_seconds": self._earlier["wall_seconds"] + time.monotonic() - self._begun,
            "cpu_seconds": self._earlier["cpu_seconds"] + time.process_time() - self._cpu,
        }

    def told(self) -> dict[str, Any]:
        """Fields of the result: what earlier attempts took, and what was kept."""
        if self._kept:
            self.settled["checkpoints"] = self._kept
        earlier = {f"earlier_{name}": value for name, value in self._earlier.items() if value}
        return {"settings": self.settled, "measures": earlier}

    def _find(self) -> Archive | None:
        if self._job.resume_from is None:
            return None
        from sparsebench.core.archive import Archive, BadArchive

        try:
            found = Archive(self._job.resume_from)
            self._check(found)
        except BadArchive as error:
            self.settled["resumed"] = {"refused": str(error)}
            print(f"begun anew: {error}", file=sys.stderr)  # noqa: T201
            return None
        facts = found.facts
        self._meter.go_on(facts["meter"])
        self._earlier = {name: float(facts[name]) for name in self._earlier}
        self.settled["resumed"] = {
            "attempt": facts["attempt"],
            "machine": facts["machine"],
            **{key: facts["position"][key] for key in ("epoch", "step")},
        }
        return found

    def _check(self, found: Archive) -> None:
        from sparsebench.core.archive import BadArchive

        if found.facts.get("format") != CHECKPOINT_FORMAT:
            raise BadArchive(f"checkpoint format {found.facts.get('format')!r} is not known")
        if found.facts.get("trial") != self._job.trial.id:
            raise BadArchive("the checkpoint is of another trial")
        if found.facts.get("observers", []) != self._job.trial.observers:
            raise BadArchive("the checkpoint was made with other observers")
