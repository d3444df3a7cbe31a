"""The executor `local`: runs trials as processes of this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from sparsebench.core.job import Job
from sparsebench.run.supervisor import Supervised

PATIENCE = 5.0
"""Seconds to wait for killed processes to end."""


@dataclass
class Local:
    """Runs each trial in a supervised process of this machine.

    slots           number of trials that run at the same time
    shares_machine  whether these trials share the machine's cores and memory
    """

    slots: int = 1
    shares_machine: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._under_way: list[Supervised] = []

    def submit(self, job: Job) -> Supervised:
        self._forget_ended()
        trial = Supervised(job)
        self._under_way.append(trial)
        return trial

    def close(self) -> None:
        """Kill the trials that are still running, and wait a few seconds for their end."""
        for trial in self._under_way:
            trial.stop(kill=True)
        deadline = time.monotonic() + PATIENCE
        self._forget_ended()
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.01)
            self._forget_ended()

    def _forget_ended(self) -> None:
        self._under_way = [trial for trial in self._under_way if trial.poll() is None]
