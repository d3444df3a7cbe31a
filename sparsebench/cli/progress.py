"""The display of a running run on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from sparsebench.core.trial import Trial
from sparsebench.errors import printable
from sparsebench.notebook.progress import RunProgress
from sparsebench.run.options import Summary
from sparsebench.store.record import Record, primary_of
from sparsebench.store.store import SIGNALLED
from sparsebench.suite.labels import label
from sparsebench.units import brief_seconds, brief_size


def listener(*, plain: bool = False) -> Plain:
    """The display of a run: bars if stderr is a terminal; lines if it is not, if `plain`, or if
    NO_COLOR, CI or TERM=dumb is set."""
    unwanted = os.environ.get("NO_COLOR") or os.environ.get("CI", "").lower() in ("true", "1")
    if plain or unwanted or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
        return Plain()
    return Live()


class Plain(RunProgress):
    """A line per trial that begins or ends."""

    def __init__(self) -> None:
        super().__init__()
        self._reused_failures = 0

    def say(self, line: str) -> None:
        """Print a line. If stderr is closed, the line is lost and the run goes on."""
        with contextlib.suppress(BrokenPipeError):
            typer.echo(printable(line), err=True)

    def announce(self, line: str) -> None:
        """Print a line on something that begins."""
        self.say(line)

    def started(self, run_id: str, total: int) -> None:
        super().started(run_id, total)
        self.say(f"run {run_id}: {total} trials")

    def compiling(self, names: Sequence[str]) -> None:
        super().compiling(names)
        if names:
            self.announce(f"{self.doing}: up to a minute")

    def probing(self, names: Sequence[str]) -> None:
        super().probing(names)
        self.announce(f"{self.doing}: truly sparse?")

    def trial_started(self, trial: Trial, number: int) -> None:
        super().trial_started(trial, number)
        self.announce(f"[{number}/{self.total}] {label(trial)}")

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        super().trial_ended(trial, record, reused)
        self._reused_failures += reused and record.failed
        parts = [str(record.status) + (f" ({record.cause})" if record.cause else "")]
        name, value = primary_of(record)
        if value is not None:
            parts.append(f"{name} {value:.4f}")
        wall, peak = record.measures.get("wall_seconds"), record.measures.get("net_peak_bytes")
        parts += [brief_seconds(wall)] if wall is not None else []
        parts += [brief_size(peak)] if peak is not None else []
        if record.detail and str(record.status) != "ok":
            parts.append(" ".join(record.detail.split())[:160])
        count = f"[{len(self.ended_trials)}/{self.total}]"
        self.say(f"{count} {label(trial)}: {', '.join(parts)}{' [reused]' if reused else ''}")

    def ended(self, summary: Summary) -> None:
        super().ended(summary)
        counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items())
        parts = [counts or "nothing ran"]
        if self._reused_failures:
            again = f"{self._reused_failures} failed before: --rerun failed runs them again"
            parts.append(again)
        if summary.exit_code in SIGNALLED:
            left = self.total - len(summary.records)
            again = "run the same command again to go on"
            parts.append(f"{left} not begun; {again}" if left else again)
        self.say(f"run {summary.run}: {'; '.join(parts)}")

    def note(self, line: str) -> None:
        self.say(f"note: {line}")

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to clean up."""


class Live(Plain):
    """A bar for the run and one per running trial. They are redrawn by the callbacks of the run,
    without a thread."""

    refresh_seconds = 0.1

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as Display

        console = Console(stderr=True)
        self._display = Display(console=console, auto_refresh=False, transient=True)
        self._ran = 0

    def __enter__(self) -> Plain:
        self._display.start()
        self.redraw()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.stop()

    def say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._display.console.print(printable(line), markup=False, highlight=False)
            self.redraw()

    def announce(self, line: str) -> None:
        """Print nothing, because the bars show it."""

    def trial_ended(self, trial: Trial, record: Record, reused: bool) -> None:
        self._ran += not reused
        super().trial_ended(trial, record, reused)

    def draw(self, at: float) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for name, share, text in self.bars(at):
            table.add_row(Text(name), ProgressBar(total=1.0, completed=share, width=24), Text(text))
        self._display.update(table, refresh=True)

    def bars(self, at: float) -> list[tuple[str, float, str]]:
        """For each bar its name, the fraction that is done, and its text.

        at  the present, in seconds of `time.monotonic`
        """
        bars = []
        if self.total:
            ended = len(self.ended_trials)
            text = f"{ended}/{self.total} trials"
            if self._ran and self.first_trial_at is not None:
                left = (at - self.first_trial_at) / self._ran * (self.total - ended)
                text += f", ETA {brief_seconds(left)}"
            bars.append(("all", ended / self.total, text))
        if self.doing:
            bars.append((self.doing, 0.0, brief_seconds(at - self.began)))
        for trial, began, state in self.running.values():
            bars.append((printable(label(trial))[:60], *_share_and_text(trial, state, at - began)))
        return bars


def _share_and_text(trial: Trial, state: Mapping[str, Any], seconds: float) -> tuple[float, str]:
    """The fraction of a trial that is done, and the text of its bar. Epochs count from 1.

    state    as `executor.Handle.progress` reports it
    seconds  since the trial began
    """
    if not state:
        return 0.0, f"starting, {brief_seconds(seconds)}"
    epoch, epochs = state.get("epoch") or 0, state.get("epochs") or trial.epochs
    share = max(0, epoch) / epochs
    if state.get("step") is not None and state.get("steps"):
        share = state["step"] / state["steps"]
    share = float(min(1.0, share))
    parts = [f"epoch {epoch}/{epochs}"]
    known = {"loss": state.get("loss"), "accuracy": state.get("accuracy")}
    for name, value in {**known, **(state.get("scores") or {})}.items():
        if isinstance(value, int | float):
            parts.append(f"{name} {value:.4f}")
    if state.get("rss_bytes"):
        parts.append(brief_size(state["rss_bytes"]))
    if 0 < share < 1:
        parts.append(f"ETA {brief_seconds(seconds * (1 - share) / share)}")
    return share, ", ".join(parts)
