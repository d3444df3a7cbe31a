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

from sparsebench.measuring.meter import Meter
from sparsebench.records.durable import append_line, write_atomically
from sparsebench.records.record import jsonable

if TYPE_CHECKING:
    from sparsebench.training.work import EpochRecord

PROGRESS_PERIOD = 0.25
"""Seconds between two states of progress.json."""


class Outbox:
    """epochs.jsonl, progress.json and result.json of one attempt.

    steps  of the whole training, for those who watch; `progress` counts its step likewise
    """

    def __init__(self, folder: Path, meter: Meter, epochs: int) -> None:
        self.steps: int | None = None
        self._folder = folder
        self._meter = meter
        self._epochs = epochs
        self._accuracy: float | None = None
        self._told = -PROGRESS_PERIOD

    def epoch(self, epoch: EpochRecord) -> None:
        if epoch.rss_bytes is None:
            epoch = replace(epoch, rss_bytes=self._meter.rss())
        self._accuracy = epoch.test_accuracy
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
        }
        self._replace_progress(json.dumps(jsonable(state)))

    def result(self, result: Mapping[str, Any]) -> None:
        write_atomically(self._folder / "result.json", json.dumps(jsonable(result)))

    def _replace_progress(self, text: str) -> None:
        """Only for show: neither durable nor worth failing for."""
        scratch = self._folder / "progress.tmp"
        with contextlib.suppress(OSError):
            scratch.write_text(text)
            os.replace(scratch, self._folder / "progress.json")
