"""Checkpoints of a trial, in its process: when one is due, what it holds, where one is found."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sparsebench import machine
from sparsebench.core.files import replacing
from sparsebench.core.job import Job
from sparsebench.core.worker.file_names import CHECKPOINT
from sparsebench.core.worker.meter import Meter

if TYPE_CHECKING:
    from sparsebench.core.archive import Archive
    from sparsebench.core.arrays import Array
    from sparsebench.core.protocols import Shape

# Checkpoint format history:
#   1  first version
CHECKPOINT_FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Phase(_Strict):
    seconds: float
    peak_rss_bytes: int


class _Meter(_Strict):
    phases: dict[str, _Phase]
    peak_rss_bytes: int
    net_peak_bytes: int | None


class _Position(_Strict):
    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    start: int = Field(ge=0)
    losses: float


class _Counts(_Strict):
    dropped: list[int]
    grown: list[int]
    pruned: list[int]


class Facts(_Strict):
    """What a checkpoint says beside its arrays: of the attempt, and of the training."""

    attempt: int
    machine: str
    wall_seconds: float
    cpu_seconds: float
    meter: _Meter
    position: _Position
    started: list[int]
    epochs: list[dict[str, Any]]
    laps: dict[str, float]
    counts: _Counts


class Checkpoints:
    """A `training.resuming.Keeper` over checkpoint.npz in the attempt's folder.

    The file is replaced whole: whatever happens while one is written, the one before is there.
    What earlier attempts took (seconds, peaks of memory) is added to that of this one.

    found    of the earlier attempt; None where there is none, or none that can be used
    settled  the entries of a record's settings about it
    """

    def __init__(self, job: Job, meter: Meter, shapes: Sequence[Shape] = ()) -> None:
        """shapes  of the layers of the trial's network"""
        self._job = job
        self._meter = meter
        self._file = job.folder / CHECKPOINT
        self._every = job.trial.checkpoint
        self._begun = self._last = time.monotonic()
        self._cpu = time.process_time()
        self._kept = 0
        self._earlier = {"wall_seconds": 0.0, "cpu_seconds": 0.0}
        self.settled: dict[str, Any] = {}
        self.found = self._find(shapes)

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

    def _find(self, shapes: Sequence[Shape]) -> Archive | None:
        """The checkpoint to resume from. One that is damaged, or not of this trial, leaves a note,
        and the trial starts from the beginning."""
        if self._job.resume_from is None:
            return None
        from sparsebench.core.archive import Archive

        found = None
        try:
            found = Archive(self._job.resume_from)
            facts = self._facts(found, len(shapes))
            check_arrays(found, shapes)
        except (ValueError, KeyError, MemoryError) as error:
            if found is not None:
                found.close()
            line = " ".join(str(error).split())[:200]
            self.settled["resumed"] = {"refused": line}
            print(f"starts from the beginning: {line}", file=sys.stderr)  # noqa: T201
            return None
        self._meter.go_on(facts.meter.model_dump())
        self._earlier = {"wall_seconds": facts.wall_seconds, "cpu_seconds": facts.cpu_seconds}
        self.settled["resumed"] = {
            "attempt": facts.attempt,
            "machine": facts.machine,
            "epoch": facts.position.epoch,
            "step": facts.position.step,
        }
        return found

    def _facts(self, found: Archive, layers: int) -> Facts:
        from sparsebench.core.archive import BadArchive

        if found.facts.get("format") != CHECKPOINT_FORMAT:
            raise BadArchive(f"checkpoint format {found.facts.get('format')!r} is not known")
        if found.facts.get("trial") != self._job.trial.id:
            raise BadArchive("the checkpoint is of another trial")
        if found.facts.get("observers", []) != self._job.trial.observers:
            raise BadArchive("the checkpoint was made with other observers")
        try:
            facts = Facts.model_validate(found.facts)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise BadArchive(f"the checkpoint's {where}: {first['msg']}") from None
        counts = (facts.counts.dropped, facts.counts.grown, facts.counts.pruned)
        if any(len(one) != layers for one in (facts.started, *counts)):
            raise BadArchive(f"the checkpoint has not the {layers} layers of this trial")
        return facts


def check_arrays(found: Archive, shapes: Sequence[Shape]) -> None:
    """Raise ValueError or KeyError unless the layers are matrices of these shapes, before any
    compiled code relies on it. Every array is read, so its checksum is compared too."""
    from sparsebench.core.archive import BadArchive
    from sparsebench.core.training.position import saved_layer

    for name, array in found.items():
        if array.dtype.kind not in "biuf":
            raise BadArchive(f"the checkpoint's {name} holds {array.dtype}")
    for number, shape in enumerate(shapes, 1):
        for part, kind in (("indptr", "i"), ("indices", "i"), ("data", "f"), ("bias", "f")):
            array = found[f"layer{number}.{part}"]
            if array.ndim != 1 or array.dtype.kind != kind:
                raise BadArchive(f"the checkpoint's layer{number}.{part} holds {array.dtype}")
        _, bias = saved_layer(found, number, shape)
        if bias.shape != (shape[0],):
            raise BadArchive(f"the checkpoint's layer{number}.bias has the shape {bias.shape}")
