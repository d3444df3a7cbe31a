"""What a trial's process writes into its folder while it runs and at its end."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.core.files import append_line, jsonable, sync_folder, write_atomically
from sparsebench.core.status import Status
from sparsebench.core.worker.meter import Meter

if TYPE_CHECKING:
    from sparsebench.core.training.work import EpochRecord
    from sparsebench.core.worker.rank_log import RankLog

PROGRESS_PERIOD = 0.25
"""Seconds between two states of progress.json."""


class ResultWriter:
    """epochs.jsonl, progress.json and result.json of one attempt.

    primary  the metric that the trial's objective is judged by
    steps  of the whole training, for those who watch; `progress` counts its step likewise
    log  of this process, if it is one of several: of them only the first reports epochs, any
           may tell of progress, and the result is that of whoever is first to have one
    metrics  the latest known value of each metric of the epochs that is one number
    """

    def __init__(self, folder: Path, meter: Meter, epochs: int, log: RankLog | None = None) -> None:
        self.steps: int | None = None
        self.metrics: dict[str, float] = {}
        self._folder = folder
        self._meter = meter
        self._log = log
        self._epochs = epochs
        self.primary = ""
        self._scores: dict[str, float] = {}
        self._accuracy: float | None = None
        self._told = -PROGRESS_PERIOD

    def epoch(self, epoch: EpochRecord) -> None:
        if self._log is not None and self._log.rank != 0:
            return
        if epoch.rss_bytes is None:
            epoch = replace(epoch, rss_bytes=self._meter.rss())
        self._scores = epoch.numbers()
        self._accuracy = epoch.test_accuracy
        self.metrics |= epoch.numbers()
        append_line(self._folder / "epochs.jsonl", epoch.to_json())

    def progress(self, epoch: int, step: int, loss: float) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_PERIOD:
            return
        self._told = now
        state = {
            "epoch": epoch,
            "epochs": self._epochs,
            "step": step,
            "steps": self.steps,
            "loss": float(loss),
            "accuracy": self._accuracy,
            "scores": self._primary(),
        }
        self._replace_progress(json.dumps(jsonable(state)))

    def _primary(self) -> dict[str, float]:
        """The latest value of the primary metric by its plain name, unless it is the accuracy."""
        known = self.primary in self._scores
        return {self.primary.removeprefix("test_"): self._scores[self.primary]} if known else {}

    def result(self, result: Mapping[str, Any]) -> None:
        text, file = json.dumps(jsonable(result)), self._folder / "result.json"
        if self._log is None:
            write_atomically(file, text)
        elif write_first(file, text):
            self._log.left(failed=result["status"] not in (Status.OK, Status.DIVERGED))

    def _replace_progress(self, text: str) -> None:
        """Only for show: neither durable nor worth failing for."""
        writer = "" if self._log is None else f".{os.getpid()}"
        scratch = self._folder / f"progress{writer}.tmp"
        with contextlib.suppress(OSError):
            scratch.write_text(text)
            os.replace(scratch, self._folder / "progress.json")


def write_first(file: Path, text: str) -> bool:
    """Write a file whole, unless there is one; whether it is this one."""
    scratch = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(scratch, file)
    except FileExistsError:
        return False
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(file.parent)
    return True
