"""The progress of a run in a notebook: one output that is redrawn in place."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.analysis.formats import join
from sparsebench.core.trial import Trial
from sparsebench.notebook.cards import Card, Row
from sparsebench.run.options import Listener, Summary
from sparsebench.store.record import Record
from sparsebench.suite.labels import label
from sparsebench.units import brief_seconds

REFRESH_SECONDS = 0.5
LAST_FAILURES = 5


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter, whose cells show HTML. Imports nothing."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


class Live(Listener):
    """Shows how far the run is, the running trials and the last failures."""

    def __init__(self) -> None:
        self._run, self._total, self._doing = "", 0, ""
        self._counts: Counter[str] = Counter()
        self._ended: set[str] = set()
        self._running: dict[str, tuple[Trial, dict[str, Any]]] = {}
        self._failures: list[str] = []
        self._notes: list[str] = []
        self._began = self._drawn = time.monotonic()
        self._display: Any = None

    def started(self, run_id: str, total: int) -> None:
        self._run, self._total = run_id, total
        self._draw(now=True)

    def compiling(self, names: Sequence[str]) -> None:
        self._does("compiling", names)

    def probing(self, names: Sequence[str]) -> None:
        self._does("auditing", names)

    def waiting(self) -> None:
        self._draw()

    def trial_started(self, trial: Trial, number: int) -> None:
        self._doing = ""
        self._running[trial.id] = (trial, {})
        self._draw(now=True)

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        if trial.id in self._running:
            self._running[trial.id][1].update(state)
        self._draw()

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self._running.pop(trial.id, None)
        self._ended.add(trial.id)
        self._counts[f"{record.status}{' (reused)' if reused else ''}"] += 1
        if record.failed:
            reason = join(record.status, record.cause, record.detail)
            self._failures.append(f"{label(trial)}: {reason[:200]}")
        self._draw(now=not reused)

    def note(self, line: str) -> None:
        self._notes.append(line)
        self._draw(now=True)

    def ended(self, summary: Summary) -> None:
        self._doing = ""
        self._running.clear()
        self._draw(now=True)

    def _does(self, what: str, names: Sequence[str]) -> None:
        self._doing = f"{what} {', '.join(names)}" if names else ""
        self._draw(now=True)

    def card(self) -> Card:
        elapsed = brief_seconds(time.monotonic() - self._began)
        counts = ", ".join(f"{n} {word}" for word, n in self._counts.items())
        ended = join(f"{len(self._ended)}/{self._total} trials", counts, elapsed)
        return Card(
            title=f"Run {self._run}",
            facts=[ended, *filter(None, [self._doing])],
            header=["running", "epoch"] if self._running else (),
            rows=[Row([label(trial), _epoch(trial, state)])
                  for trial, state in self._running.values()],
            notes=[*self._notes, *self._failures[-LAST_FAILURES:]],
        )  # fmt: skip

    def _draw(self, now: bool = False) -> None:
        at = time.monotonic()
        if not now and at - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = at
        from IPython.display import HTML, display

        shown = HTML(self.card().html())
        if self._display is None:
            self._display = display(shown, display_id=True)
        else:
            self._display.update(shown)


def _epoch(trial: Trial, state: Mapping[str, Any]) -> str:
    return f"{state.get('epoch', 0)}/{state.get('epochs') or trial.epochs}"
