"""Trials as processes of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparsebench.execution.job import Job
from sparsebench.execution.supervisor import Supervised


@dataclass
class Local:
    """`slots` processes at once, each under a supervisor of its own."""

    slots: int = 1
    _started: list[Supervised] = field(default_factory=list, init=False, repr=False)

    def submit(self, job: Job) -> Supervised:
        self._started = [trial for trial in self._started if trial.poll() is None]
        trial = Supervised(job)
        self._started.append(trial)
        return trial

    def close(self) -> None:
        """End what is still under way."""
        for trial in self._started:
            trial.stop(kill=True)
        self._started = [trial for trial in self._started if trial.poll() is None]
