"""Trials that another run on the same store is busy with: waited for, and not repeated."""

from __future__ import annotations

import time

from sparsebench.core.trial import Trial
from sparsebench.run.options import Listener
from sparsebench.store.attempts import OUTCOME, SPEC, Attempt, is_alive, read_spec
from sparsebench.store.safe_files import Damaged
from sparsebench.store.store import Store
from sparsebench.suite.labels import label

PERIOD = 0.2
"""Seconds between two looks at what others do."""

PAUSE = 0.05


class ConcurrentRuns:
    """Those that this run left to others; false when there are none."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self._store = store
        self._listener = listener
        self._trials: dict[str, tuple[Trial, Attempt]] = {}
        self._looked = 0.0

    def __bool__(self) -> bool:
        return bool(self._trials)

    def has(self, trial: Trial) -> bool:
        """Whether another process is at the trial; then it is kept here until `ended` gives it."""
        found = self._store.under_way_elsewhere(trial.id)
        if found is None:
            return False
        attempt, run = found
        self._trials[trial.id] = (trial, attempt)
        whose = f"run {run}" if run else "another run"
        self._listener.note(f"{label(trial)}: waits for {whose}, which has it under way")
        return True

    def ended(self) -> list[Trial]:
        """Trials that no other run is working on any more: look for their records again, or run
        them here."""
        now = time.monotonic()
        if not self._trials or now - self._looked < PERIOD:
            return []
        self._looked = now
        over = [trial for trial, attempt in self._trials.values() if self._is_over(attempt)]
        for trial in over:
            del self._trials[trial.id]
        return over

    def pause(self, *, idle: bool) -> None:
        """A moment, if there is nothing else to wait for."""
        if idle and self._trials:
            time.sleep(PAUSE)

    def forget(self) -> None:
        self._trials.clear()

    def _is_over(self, attempt: Attempt) -> bool:
        if (attempt.folder / OUTCOME).exists():
            return True
        try:
            spec = read_spec(attempt.folder / SPEC, self._store.root)
        except Damaged:
            return True
        return not is_alive(spec["process"])
