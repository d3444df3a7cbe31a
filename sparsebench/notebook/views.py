"""A trial, a comparison and plots, as `sparsebench.api` returns them and a notebook displays
them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from sparsebench.analysis.comparison import Comparison, Finding
from sparsebench.analysis.footnote_marks import backend_legend
from sparsebench.analysis.number_format import in_unit, join, one, plural
from sparsebench.analysis.report_data import (
    CELL,
    FAILED,
    ReportData,
    groups,
    outcome,
    report_data,
    suite_facts,
)
from sparsebench.analysis.statistics import Spread
from sparsebench.errors import NothingMatched
from sparsebench.metrics import of_run
from sparsebench.notebook.cards import Card, Row
from sparsebench.report import comparison as printed
from sparsebench.report.charts import density
from sparsebench.report.document import Chart
from sparsebench.report.learning_curves import curves
from sparsebench.report.line_chart import line
from sparsebench.report.png import drawn
from sparsebench.report.ranks import critical_differences
from sparsebench.report.scaling_chart import scaling
from sparsebench.report.sweep_chart import sweep
from sparsebench.report.trade_off_chart import trade_off
from sparsebench.store.export_columns import epochs_frame
from sparsebench.store.record import Record
from sparsebench.suite.labels import label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sparsebench.store.store import StoredRun

NUMBERS = ("epoch_seconds", "net_peak_bytes", "stored_bytes")


def run_card(stored: StoredRun) -> Card:
    """The card of a run: a row per cell (the trials that differ only in seed and fold) with means
    and standard deviations over the seeds. Rows with unexpected failures are bold."""
    found = report_data([stored])
    frame = found.frame
    metrics = [found.primary, *(found.metrics[name] for name in NUMBERS)]
    first = 0 if found.varied else 1  # of the labels: the setting is shown where it varies
    rows = []
    for labels, cell in groups(frame, CELL) if len(frame) else ():
        ok = cell[cell["ok"]]
        numbers = [in_unit(metric, Spread.of(ok[metric.name])) for metric in metrics]
        failed = cell["status"].isin([*FAILED, "interrupted"]) & ~cell["expected"]
        n = join(len(ok) or "", outcome(cell))
        rows.append(Row([*labels[first:], *numbers, n], bad=bool(failed.any())))
    counts = []  # "7 ok, 2 timeout (1 expected)"
    for status, number in Counter(map(str, frame["status"])).items():
        expected = int(((frame["status"] == status) & frame["expected"]).sum())
        tail = f" ({expected} expected)" if expected and status in FAILED else ""
        counts.append(f"{number} {status}{tail}")
    trials = f"{plural(len(frame), 'trial')}: {', '.join(counts) or 'none has a record'}"
    title = str(suite_facts(stored).get("title") or stored.manifest.get("title") or "")
    words = ["setting", "topology", "backend"][first:]
    return Card(
        title=f"Run {stored.id}",
        facts=[*filter(None, [title]), trials],
        header=[*words, *(metric.heading for metric in metrics), "n"],
        rows=rows,
        left=len(words),
        notes=[*found.notes, *filter(None, [backend_legend(frame)])],
    )


class Trial:
    """A trial of a run, as one attempt recorded it.

    record  the record of that attempt; `run.trials()` has it as a row
    folder  the folder of the attempt's logs, epochs and memory trace
    """

    def __init__(self, stored: StoredRun, record: Record) -> None:
        self._stored = stored
        self.record = record

    def __repr__(self) -> str:
        return f"<Trial {self.id}: {label(self.record.trial)}: {self.record.status}>"

    @property
    def id(self) -> str:
        return self.record.trial.id

    @property
    def status(self) -> str:
        return str(self.record.status)

    @property
    def folder(self) -> Path:
        return self._stored.folder(self.record)

    def epochs(self) -> pd.DataFrame:
        """A row per epoch, as `run.epochs()` has it."""
        frame = epochs_frame(self._stored)
        return frame[frame["trial"] == self.id].reset_index(drop=True)

    def log(self, stream: Literal["stdout", "stderr"] = "stderr") -> str:
        """The text that the trial wrote to a stream."""
        return self._stored.store.log(self.id, self.record.attempt, f"{stream}.log")

    def _repr_html_(self) -> str:
        record = self.record
        noise = ", ".join(map(str, record.noise.get("marks", ())))
        audit = record.audit.get("verdict", "")
        metrics = of_run(self._stored.manifest).with_measured(record.measures)
        known = {name: record.measures.get(name) for name in metrics}
        return Card(
            title=f"Trial {label(record.trial)}",
            facts=[join(record.status, record.cause, record.detail),
                   f"trial {self.id}, attempt {record.attempt}, {record.started}",
                   *([f"audit: {audit}"] if audit else [])],
            header=["measure", "value"],
            rows=[Row([name, in_unit(metrics[name], one(float(value)))])
                  for name, value in known.items() if value is not None],
            notes=[f"the machine was disturbed: {noise}"] if noise else [],
            text=record.log_tail,
        ).html()  # fmt: skip


class Compared:
    """The verdicts of a comparison of BASE and HEAD.

    found  the comparison itself: its findings, notes and gates
    """

    def __init__(self, found: Comparison) -> None:
        self.found = found

    def __str__(self) -> str:
        return printed.as_text(self.found)

    def __repr__(self) -> str:
        return f"<Compared: {printed.verdict_line(self.found)}>"

    @property
    def exit_code(self) -> int:
        """0: no gate failed; 3: one did; 6: nothing could be decided, or if the gates are `strict`,
        not everything."""
        return self.found.exit_code

    @property
    def failures(self) -> list[Finding]:
        """The findings beyond a gate."""
        return self.found.failures

    def frame(self) -> pd.DataFrame:
        """A row per finding; numbers as in the JSON of `sparsebench compare`."""
        keys = ["label", "metric", "verdict", "fails", "reason", "effect", "effect_unit",
                "p_holm", "n"]  # fmt: skip
        rows = printed.to_json(self.found)["findings"]
        frame = pd.DataFrame(rows, columns=[*keys, "interval", "base", "head"])
        for name in ("base", "head"):
            frame[name] = [None if one is None else one["mean"] for one in frame[name]]
        for i, name in enumerate(("low", "high")):
            frame[name] = [None if one is None else one[i] for one in frame["interval"]]
        return frame.drop(columns="interval")

    def markdown(self) -> str:
        return printed.as_markdown(self.found)

    def _repr_html_(self) -> str:
        loud = [one for one in self.found.findings if one.verdict not in printed.QUIET]
        quiet = len(self.found.findings) - len(loud)
        base, head = (one.facts.get("run", "") for one in (self.found.base, self.found.head))
        same = [f"{quiet} findings are the same or ok and not shown"] if quiet else []
        rows = [
            Row(
                [one.label, one.metric, one.verdict, "; ".join(printed.whys(one)),
                 *printed.numbers(one)],
                one.fails,
            )
            for one in loud
        ]  # fmt: skip
        return Card(
            title=printed.verdict_line(self.found),
            facts=[f"BASE {base}, HEAD {head}"],
            header=["cell", "metric", "verdict", "why", "base", "head", "change", "interval", "p"],
            rows=rows,
            left=4,
            notes=[*same, *self.found.notes],
        ).html("print it, or see .frame()")


class Plots:
    """The report's plots as matplotlib figures: a notebook displays them, `figure.savefig(file)`
    saves them.

    Raises NothingMatched if the trials have no data for a plot; the message says what trials it
    needs.
    """

    def __init__(self, stored: StoredRun) -> None:
        self._stored = stored

    def __repr__(self) -> str:
        return "<plots: accuracy(), curves(), density(), line(x, y), ranks(), scaling(), sweep()>"

    def accuracy(self) -> Figure:
        """The primary metric against net peak memory, with a marker per cell (the trials that
        differ only in seed and fold); larger markers take more time per epoch."""
        needs = "two cells with a primary metric and a net peak"
        return self._drawn(trade_off, "accuracy", needs)

    def curves(self) -> Figure:
        """The primary metric by epoch."""
        return self._drawn(curves, "curves", "trials that finished two epochs")

    def scaling(self) -> Figure:
        """Time and memory against the number of connections."""
        return self._drawn(scaling, "scaling", "networks whose connections differ four times")

    def ranks(self) -> Figure:
        """Average ranks over the data sets, and the methods that cannot be distinguished."""
        return self._drawn(critical_differences, "ranks", "two methods on three data sets")

    def density(self) -> Figure:
        """The primary metric against density, a line per topology."""
        return self._drawn(density, "density", "three densities of one kind of network")

    def sweep(self) -> Figure:
        """The primary metric against each parameter that was tried, and the best at each value."""
        return self._drawn(sweep, "sweep", "two parameters of numbers that vary, on one data set")

    def line(
        self, x: str, y: str = "", *, color: str = "", panel: str | None = None, by: str = "",
        log: Sequence[str] | None = None,
    ) -> Figure:  # fmt: skip
        """Any metric against any column: `line("topology.epsilon", "test_accuracy")`.

        x, y   columns of `run.trials()`, or dotted keys of a trial; y is by default the primary
               metric
        color  a part of a trial ("topology") or a dotted key; "": the first part that varies
        panel  a part or a dotted key; None: a panel per data set and size; "": one panel
        by     the key whose values a line connects and that is written beside marks, such as
               "trainer.workers"
        log    the logarithmic axes, ("x", "y"); None: axes with a wide range
        """
        return self._drawn(
            lambda found: line(found, x, y, color=color, panel=panel, by=by, log=log),
            "line", f"finished trials with {x} and {y or 'the primary metric'}",
        )  # fmt: skip

    @cached_property
    def _evidence(self) -> ReportData:
        return report_data([self._stored]).trained

    def _drawn(self, draw: Callable[[ReportData], Chart | None], name: str, needs: str) -> Figure:
        """The figure of the chart that `draw` makes; a notebook shows it without pyplot's inline
        backend. Raises NothingMatched, which says what the chart `needs`, if there is none."""
        chart = draw(self._evidence)
        if chart is None:
            raise NothingMatched(
                f"run {self._stored.id}: nothing to plot by {name}(): needs {needs}"
            )
        figure = drawn(chart)

        def png() -> bytes:
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=110)
            return picture.getvalue()

        setattr(figure, "_repr_png_", png)  # noqa: B010 - a method of this one figure
        return figure
