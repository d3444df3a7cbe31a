"""The progress of a run: the state that every display uses, and the display of a notebook."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparsebench.analysis.number_format import join
from sparsebench.core.trial import Trial
from sparsebench.run.options import Listener, Summary
from sparsebench.store.record import Record
from sparsebench.suite.labels import label
from sparsebench.units import brief_seconds

if TYPE_CHECKING:
    from sparsebench.notebook.cards import Card

LAST_FAILURES = 5


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, whose notebook shows HTML. Imports nothing."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


class RunProgress(Listener):
    """Keeps the progress of a run and calls `draw` when it changes.

    doing    a line on what happens before the first trial; empty afterwards
    running  trial id -> the trial, when it began, and its last report
    began    when the run began. Times are seconds of `time.monotonic`
    """

    refresh_seconds = 0.5

    def __init__(self) -> None:
        self.run_id, self.total, self.doing = "", 0, "preparing"
        self.ended_trials: set[str] = set()
        self.running: dict[str, tuple[Trial, float, dict[str, Any]]] = {}
        self.began = self._drawn = time.monotonic()
        self.first_trial_at: float | None = None

    def draw(self, at: float) -> None:
        """Show the progress; `at` is the present. Does nothing here; a subclass overrides it."""

    def redraw(self, *, now: bool = True) -> None:
        """Draw now; or with `now=False` only if the last time was `refresh_seconds` ago."""
        at = time.monotonic()
        if now or at - self._drawn >= self.refresh_seconds:
            self._drawn = at
            self.draw(at)

    def started(self, run_id: str, total: int) -> None:
        self.run_id, self.total = run_id, total
        self.redraw()

    def compiling(self, names: Sequence[str]) -> None:
        listed = ", ".join(names)
        self.doing = f"compiling {listed}, once for this machine and code" if names else ""
        self.redraw()

    def probing(self, names: Sequence[str]) -> None:
        self.doing = f"auditing {', '.join(names)}"
        self.redraw()

    def waiting(self) -> None:
        self.redraw(now=False)

    def trial_started(self, trial: Trial, number: int) -> None:
        self.doing = ""
        at = time.monotonic()
        self.first_trial_at = self.first_trial_at or at
        self.running[trial.id] = (trial, at, {})
        self.redraw()

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        if trial.id in self.running:
            self.running[trial.id][2].update(state)
        self.redraw(now=False)

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self.running.pop(trial.id, None)
        self.ended_trials.add(trial.id)
        self.redraw(now=not reused)

    def ended(self, summary: Summary) -> None:
        self.doing = ""
        self.running.clear()
        self.redraw()


class Live(RunProgress):
    """One output of a notebook that is redrawn in place: the run, its running trials, the last
    failures."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._failures: list[str] = []
        self._notes: list[str] = []
        self._display: Any = None

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self._counts[f"{record.status}{' (reused)' if reused else ''}"] += 1
        if record.failed:
            reason = join(record.status, record.cause, record.detail)
            self._failures.append(f"{label(trial)}: {reason[:200]}")
        super().trial_ended(trial, record, reused)

    def note(self, line: str) -> None:
        self._notes.append(line)
        self.redraw()

    def draw(self, at: float) -> None:
        from IPython.display import HTML, display

        shown = HTML(self.card(at).html())
        if self._display is None:
            self._display = display(shown, display_id=True)
        else:
            self._display.update(shown)

    def card(self, at: float) -> Card:
        from sparsebench.notebook.cards import Card, Row

        counts = ", ".join(f"{n} {word}" for word, n in self._counts.items())
        trials = f"{len(self.ended_trials)}/{self.total} trials"
        rows = [
            Row([label(trial), f"{state.get('epoch', 0)}/{state.get('epochs') or trial.epochs}"])
            for trial, _, state in self.running.values()
        ]
        return Card(
            title=f"Run {self.run_id}",
            facts=[join(trials, counts, brief_seconds(at - self.began)),
                   *filter(None, [self.doing])],
            header=["running", "epoch"], rows=rows,
            notes=[*self._notes, *self._failures[-LAST_FAILURES:]],
        )  # fmt: skip
