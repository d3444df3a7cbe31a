"""What a run shows while it runs: bars on a terminal, plain lines elsewhere. On stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from sparsebench.core.trial import Trial
from sparsebench.errors import printable
from sparsebench.run.options import Listener, Summary
from sparsebench.store.record import Record, primary_of
from sparsebench.suite.labels import label
from sparsebench.units import brief_seconds, brief_size

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 0.1


def listener(*, plain: bool = False) -> Plain:
    """Bars if stderr is a terminal and neither `plain`, NO_COLOR nor CI says otherwise."""
    unwanted = os.environ.get("NO_COLOR") or os.environ.get("CI", "").lower() in ("true", "1")
    if plain or unwanted or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
        return Plain()
    return Live()


def outcome_line(record: Record, reused: bool) -> str:
    """A record in a line."""
    parts = [str(record.status) + (f" ({record.cause})" if record.cause else "")]
    name, value = primary_of(record)
    if value is not None:
        parts.append(f"{name} {value:.4f}")
    wall, peak = record.measures.get("wall_seconds"), record.measures.get("net_peak_bytes")
    if wall is not None:
        parts.append(brief_seconds(wall))
    if peak is not None:
        parts.append(brief_size(peak))
    if record.detail and str(record.status) != "ok":
        parts.append(" ".join(record.detail.split())[:160])
    return ", ".join(parts) + (" [reused]" if reused else "")


class Plain(Listener):
    """A line per trial that begins or ends."""

    def __init__(self) -> None:
        self.total = 0
        self.ended_trials: set[str] = set()
        self.reused_failures = 0

    def started(self, run_id: str, total: int) -> None:
        self.total = total
        self.say(f"run {run_id}: {total} trials")

    def compiling(self, names: Sequence[str]) -> None:
        if names:
            self.say(
                f"compiling {', '.join(names)}, once for this machine and code: up to a minute"
            )

    def probing(self, names: Sequence[str]) -> None:
        self.say(f"auditing {', '.join(names)}: truly sparse?")

    def trial_started(self, trial: Trial, number: int) -> None:
        self.say(f"[{number}/{self.total}] {label(trial)}")

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        """Plain lines say nothing in between."""

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self.ended_trials.add(trial.id)
        self.reused_failures += reused and record.failed
        count = f"[{len(self.ended_trials)}/{self.total}]"
        self.say(f"{count} {label(trial)}: {outcome_line(record, reused)}")

    def ended(self, summary: Summary) -> None:
        counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items())
        again = f"; {self.reused_failures} failed before: --rerun failed runs them again"
        hint = again if self.reused_failures else ""
        self.say(f"run {summary.run}: {counts or 'nothing ran'}{hint}")

    def note(self, line: str) -> None:
        self.say(f"note: {line}")

    def say(self, line: str) -> None:
        """Whoever read stderr may be gone; that is no reason to stop."""
        with contextlib.suppress(BrokenPipeError):
            typer.echo(printable(line), err=True)

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to tidy."""


class Live(Plain):
    """A bar for the run and one per running trial, redrawn from the poll loop: no thread."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as Display

        self._console = Console(stderr=True)
        self._display = Display(console=self._console, auto_refresh=False, transient=True)
        self._running: dict[str, tuple[Trial, float, dict[str, Any]]] = {}
        self._drawn = 0.0
        self._began = time.monotonic()
        self._first_trial_at: float | None = None
        self._ran = 0
        self._preparing = "preparing"

    def __enter__(self) -> Plain:
        self._display.start()
        self._draw(now=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._display.stop()

    def say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._say(line)

    def compiling(self, names: Sequence[str]) -> None:
        self._preparing = f"compiling {', '.join(names)}, once for this machine and code"
        self._draw(now=True)

    def probing(self, names: Sequence[str]) -> None:
        self._preparing = f"auditing {', '.join(names)}"
        self._draw(now=True)

    def waiting(self) -> None:
        self._draw()

    def _say(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False)
        self._draw(now=True)

    def trial_started(self, trial: Trial, number: int) -> None:
        self._preparing = ""
        self._first_trial_at = self._first_trial_at or time.monotonic()
        self._running[trial.id] = (trial, time.monotonic(), {})
        self._draw(now=True)

    def progress(self, trial: Trial, state: Mapping[str, Any]) -> None:
        if trial.id in self._running:
            self._running[trial.id][2].update(state)
        self._draw()

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self._running.pop(trial.id, None)
        self._ran += not reused
        super().trial_ended(trial, record, reused)

    def _draw(self, now: bool = False) -> None:
        at = time.monotonic()
        if now or at - self._drawn >= REFRESH_SECONDS:
            self._drawn = at
            self._display.update(self._picture(at), refresh=True)

    def _picture(self, at: float) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for name, share, text in self._bars(at):
            table.add_row(Text(name), ProgressBar(total=1.0, completed=share, width=24), Text(text))
        return table

    def _bars(self, at: float) -> list[tuple[str, float, str]]:
        """Name, share done, and what to say, per bar."""
        bars = []
        if self.total:
            done = len(self.ended_trials) / self.total
            text = f"{len(self.ended_trials)}/{self.total} trials"
            if self._ran and self._first_trial_at is not None:
                each = (at - self._first_trial_at) / self._ran
                left = self.total - len(self.ended_trials)
                text += f", ETA {brief_seconds(each * left)}"
            bars.append(("all", done, text))
        if self._preparing:
            bars.append((self._preparing, 0.0, brief_seconds(at - self._began)))
        for trial, began, state in self._running.values():
            share = _share(trial, state)
            name = printable(label(trial))[:60]
            bars.append((name, share, _state(trial, state, at - began, share)))
        return bars


def _share(trial: Trial, state: Mapping[str, Any]) -> float:
    """How much of a trial is done, 0 to 1. `epoch` is the one under way, counted from 1."""
    step, steps = state.get("step"), state.get("steps")
    if step is not None and steps:
        return float(min(1.0, step / steps))
    return float(min(1.0, max(0, state.get("epoch") or 0) / (state.get("epochs") or trial.epochs)))


def _state(trial: Trial, state: Mapping[str, Any], seconds: float, share: float) -> str:
    if not state:
        return f"starting, {brief_seconds(seconds)}"
    parts = [f"epoch {state.get('epoch', 0)}/{state.get('epochs') or trial.epochs}"]
    known = {"loss": state.get("loss"), "accuracy": state.get("accuracy")}
    for name, value in {**known, **(state.get("scores") or {})}.items():
        if isinstance(value, int | float):
            parts.append(f"{name} {value:.4f}")
    if state.get("rss_bytes"):
        parts.append(brief_size(state["rss_bytes"]))
    if 0 < share < 1:
        parts.append(f"ETA {brief_seconds(seconds * (1 - share) / share)}")
    return ", ".join(parts)
