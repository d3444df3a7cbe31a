"""Writes the files of a trial's process: epochs, progress and the result."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.core.files import append_line, jsonable, write_atomically, write_first
from sparsebench.core.status import Status
from sparsebench.core.worker.meter import Meter

if TYPE_CHECKING:
    from sparsebench.core.training.work import EpochRecord
    from sparsebench.core.worker.mpi import RankLog

PROGRESS_PERIOD = 0.25
"""Seconds between two writes of progress.json."""


class ResultWriter:
    """Writes epochs.jsonl, progress.json and result.json of one attempt.

    primary  the column of the primary metric, such as "test_accuracy"
    steps    number of steps of the whole training, shown beside the present step; None: not known
    metrics  the latest known value of each metric of the epochs that is a single number
    """

    def __init__(self, folder: Path, meter: Meter, epochs: int, log: RankLog | None = None) -> None:
        """log  the log of this process if it is one of several. Only rank 0 then writes epochs,
        each process may write progress, and the result that is written first is kept."""
        self.steps: int | None = None
        self.metrics: dict[str, float] = {}
        self.primary = ""
        self._folder = folder
        self._meter = meter
        self._log = log
        self._epochs = epochs
        self._scores: dict[str, float] = {}
        self._accuracy: float | None = None
        self._written_at = -PROGRESS_PERIOD

    def epoch(self, epoch: EpochRecord) -> None:
        """Append a line to epochs.jsonl."""
        if self._log is not None and self._log.rank != 0:
            return
        if epoch.rss_bytes is None:
            epoch = replace(epoch, rss_bytes=self._meter.rss())
        self._scores = epoch.numbers()
        self._accuracy = epoch.test_accuracy
        self.metrics |= self._scores
        append_line(self._folder / "epochs.jsonl", epoch.to_json())

    def progress(self, epoch: int, step: int, loss: float) -> None:
        """Replace progress.json, at most once per PROGRESS_PERIOD. Failures are ignored, because
        the file is only for display.

        Its `accuracy` and `scores` are those of the last finished epoch. `scores` has the primary
        metric without the prefix `test_`; it is empty if that is the accuracy.
        """
        now = time.monotonic()
        if now - self._written_at < PROGRESS_PERIOD:
            return
        self._written_at = now
        scores = {}
        if self.primary in self._scores:
            scores[self.primary.removeprefix("test_")] = self._scores[self.primary]
        state = {
            "epoch": epoch,
            "epochs": self._epochs,
            "step": step,
            "steps": self.steps,
            "loss": float(loss),
            "accuracy": self._accuracy,
            "scores": scores,
        }
        writer = "" if self._log is None else f".{os.getpid()}"
        scratch = self._folder / f"progress{writer}.tmp"
        with contextlib.suppress(OSError):
            scratch.write_text(json.dumps(jsonable(state)))
            os.replace(scratch, self._folder / "progress.json")

    def result(self, result: Mapping[str, Any]) -> None:
        """Write result.json. If there are several processes, only if none of them has yet."""
        text, file = json.dumps(jsonable(result)), self._folder / "result.json"
        if self._log is None:
            write_atomically(file, text)
        elif write_first(file, text):
            self._log.left(failed=result["status"] not in (Status.OK, Status.DIVERGED))
