"""Writes the checkpoints of a trial, and checks the checkpoint to resume from."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparsebench import machine
from sparsebench.core.files import replacing
from sparsebench.core.job import CHECKPOINT, Job
from sparsebench.core.worker.meter import Meter

if TYPE_CHECKING:
    from sparsebench.core.archive import Archive
    from sparsebench.core.arrays import Array
    from sparsebench.core.protocols import Shape
    from sparsebench.core.worker.checkpoint_facts import Facts

# Checkpoint format history:
#   1  first version
CHECKPOINT_FORMAT = 1


class Checkpoints:
    """A `training.checkpoint.Keeper` that writes checkpoint.npz in the attempt's folder.

    The file is replaced atomically, so a valid checkpoint survives any failure. Seconds and memory
    peaks of earlier attempts are added to those of this one.

    found     the checkpoint to resume from; None if there is none that can be used
    settings  the record's settings: where the trial resumed, and how many checkpoints it wrote
    earlier   the record's measures: the seconds of earlier attempts
    """

    def __init__(self, job: Job, meter: Meter, shapes: Sequence[Shape] = ()) -> None:
        """shapes  of the layers of the trial's network"""
        self._job = job
        self._meter = meter
        self._begun = self._last = time.monotonic()
        self._cpu = time.process_time()
        self.settings: dict[str, Any] = {}
        self.earlier: dict[str, float] = {}
        self.found = self._find(shapes)

    def due(self) -> bool:
        every = self._job.trial.checkpoint
        return every is not None and time.monotonic() - self._last >= every

    def keep(self, facts: Mapping[str, Any], arrays: Iterator[tuple[str, Array]]) -> None:
        """Write a checkpoint. If the file cannot be written, as on a full disk, training goes on
        without it."""
        from sparsebench.core.archive import write_archive

        job, earlier = self._job, self.earlier
        wall, cpu = time.monotonic() - self._begun, time.process_time() - self._cpu
        facts = {
            **facts,
            "format": CHECKPOINT_FORMAT,
            "trial": job.trial.id,
            "observers": job.trial.observers,
            "attempt": int(job.folder.name) if job.folder.name.isdecimal() else 0,
            "machine": machine.describe()["id"],
            "meter": self._meter.so_far(),
            "wall_seconds": earlier.get("earlier_wall_seconds", 0.0) + wall,
            "cpu_seconds": earlier.get("earlier_cpu_seconds", 0.0) + cpu,
        }
        try:
            with replacing(job.folder / CHECKPOINT) as stream:
                write_archive(stream, facts, arrays)
        except OSError as error:
            print(f"no checkpoint: {error}", file=sys.stderr)  # noqa: T201
        else:
            self.settings["checkpoints"] = self.settings.get("checkpoints", 0) + 1
        self._last = time.monotonic()

    def _find(self, shapes: Sequence[Shape]) -> Archive | None:
        """The checkpoint to resume from; None if the job has none, or if it is damaged or belongs
        to another trial. In that case `settings` say why, and the trial starts from the
        beginning."""
        if self._job.resume_from is None:
            return None
        from sparsebench.core.archive import Archive

        found = None
        try:
            found = Archive(self._job.resume_from)
            facts = self._checked(found.facts, len(shapes))
            _check_arrays(found, shapes)
        except (ValueError, KeyError, MemoryError) as error:
            if found is not None:
                found.close()
            line = " ".join(str(error).split())[:200]
            self.settings["resumed"] = {"refused": line}
            print(f"starts from the beginning: {line}", file=sys.stderr)  # noqa: T201
            return None
        self._meter.add_earlier(facts.meter.model_dump())
        seconds = {"wall_seconds": facts.wall_seconds, "cpu_seconds": facts.cpu_seconds}
        self.earlier = {f"earlier_{name}": value for name, value in seconds.items() if value}
        self.settings["resumed"] = {
            "attempt": facts.attempt,
            "machine": facts.machine,
            "epoch": facts.position.epoch,
            "step": facts.position.step,
        }
        return found

    def _checked(self, found: Mapping[str, Any], layers: int) -> Facts:
        """The facts, checked. Raises ValueError unless they are well-formed and belong to this
        trial."""
        from sparsebench.core.worker.checkpoint_facts import read_facts

        if found.get("format") != CHECKPOINT_FORMAT:
            raise ValueError(f"checkpoint format {found.get('format')!r} is not known")
        if found.get("trial") != self._job.trial.id:
            raise ValueError("the checkpoint is of another trial")
        if found.get("observers", []) != self._job.trial.observers:
            raise ValueError("the checkpoint was made with other observers")
        facts = read_facts(found)
        counts = (facts.counts.dropped, facts.counts.grown, facts.counts.pruned)
        if any(len(one) != layers for one in (facts.started, *counts)):
            raise ValueError(f"the checkpoint has not the {layers} layers of this trial")
        return facts


def _check_arrays(found: Archive, shapes: Sequence[Shape]) -> None:
    """Raise ValueError or KeyError unless the layers are canonical csr matrices that fit these
    shapes, because compiled code relies on it. Every array is read, so its checksum is verified."""
    from sparsebench.core.training.checkpoint import saved_layers

    for name, array in found.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"the checkpoint's {name} holds {array.dtype}")
    for number in range(1, len(shapes) + 1):
        for part, kind in (("indptr", "i"), ("indices", "i"), ("data", "f"), ("bias", "f")):
            array = found[f"layer{number}.{part}"]
            if array.ndim != 1 or array.dtype.kind != kind:
                raise ValueError(f"the checkpoint's layer{number}.{part} holds {array.dtype}")
    for number, (W, bias) in enumerate(saved_layers(found, shapes), 1):
        if bias.shape != W.shape[:1]:
            raise ValueError(f"the checkpoint's layer{number}.bias has the shape {bias.shape}")
