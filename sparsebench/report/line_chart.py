"""A chart of any metric against any column: with a mark for each cell, and lines through cells that
differ in nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sparsebench.analysis.number_format import in_unit, join, upper_first
from sparsebench.analysis.report_data import SPARSITY, ReportData, groups, trials_of
from sparsebench.analysis.statistics import Spread
from sparsebench.analysis.trial_settings import value_at
from sparsebench.core.metric import Metric
from sparsebench.errors import SparsebenchError, nearest
from sparsebench.report.chart_encoding import (
    SIZE,
    SPREAD_OVER,
    distinctions,
    key_labels,
    parameter_keys,
)
from sparsebench.report.chart_style import (
    MARK,
    drawn_once,
    heading_of,
    large,
    left_out,
    names_of,
    slug,
    without_duplicates,
)
from sparsebench.report.document import MOST_PANELS, Axis, Beside, Chart, Panel, Series

DRIVERS = {
    "density": SPARSITY,
    **dict.fromkeys(("connections", "initial_connections"), (SIZE, *SPARSITY)),
    "neurons": (SIZE,),
}
"""Measured columns that depend on parameters: a line over such a column connects the values of its
parameters."""

WIDE = 20.0
"""An axis is logarithmic if the ratio of its largest to its smallest value is at least this."""

DENSE = 0.995
"""A single mark with at least this density is the dense network, and is drawn as a horizontal
line."""


@dataclass(frozen=True)
class Column:
    """The values of an axis, one per row of the report data.

    metric  the metric; for a parameter, one that is made for it
    names   the words, if `values` are indices of words
    keys    the keys of a trial on which the values depend
    """

    heading: str
    values: pd.Series
    metric: Metric
    names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def axis(self, shown: Iterable[float], log: bool | None) -> Axis:
        known = [x for x in shown if x == x]
        positive = bool(known) and min(known) > 0
        wide = positive and not self.names and max(known) > WIDE * min(known)
        unit = self.metric.unit
        kind = {"per second": "count", "number": "number"}.get(unit, unit)
        if log is None:
            log = wide and self.metric.scale != "points"
        return Axis(self.heading, kind, log and positive, names=self.names)  # type: ignore[arg-type]

    def words(self, value: Spread) -> str:
        return self.names[round(value.mean)] if self.names else in_unit(self.metric, value)


def line(
    report_data: ReportData,
    x: str,
    y: str = "",
    *,
    color: str = "",
    panel: str | None = None,
    by: str = "",
    log: Sequence[str] | None = None,
) -> Chart | None:
    """The chart of y against x over the finished trials; None if no trial has both.

    x, y   columns of the export, or dotted keys of a trial; y is by default the primary metric
    color  a part of a trial ("topology") or a dotted key; by default the first part that varies
    panel  a part or a dotted key; "" for a single panel; by default a panel per data set and size
    by     if x is measured: the key whose values a line connects and that is written beside marks
    log    which of "x" and "y" are logarithmic; by default axes with a wide range
    """
    if report_data.ok.empty:
        return None
    if x in SPREAD_OVER:
        raise SparsebenchError(f"x: each mark is a mean over the {x}s; choose another column")
    across, up = column(report_data, x), column(report_data, y or report_data.primary.name)
    if up.names:
        raise SparsebenchError(f"y: {y!r} holds words; choose a metric, such as test_accuracy")
    keys = (*across.keys, *((known_key(report_data, by),) if by else ()))
    for key in (color, panel or ""):
        if key:
            known_key(report_data, key)
    part = replace(report_data, frame=report_data.ok.assign(x=across.values, y=up.values))
    part = replace(part, frame=part.frame.dropna(subset=["x", "y"]))
    if part.frame.empty:
        return None
    distinct = distinctions(part, *keys, color=color, panel=panel)
    frame = part.frame.assign(**{str(name): distinct[name] for name in distinct})
    if by:
        frame["by"] = key_labels(part, trials_of(part), keys[-1], bare=True)
    else:
        frame["by"] = ""
    parts = list(groups(frame, ["panel"]))
    logs = [  # of one kind in all panels
        any(one.axis(rows[name], None).log for _, rows in parts) if log is None else name in log
        for name, one in (("x", across), ("y", up))
    ]
    stand_for: dict[str, list[str]] = {}
    panels = [
        Panel(
            str(title), across.axis(one["x"], logs[0]), up.axis(one["y"], logs[1]),
            _lines(one, across, up, stand_for, joined=bool(keys)),
            texts=_texts(one) if by else (),
        )
        for title, one in parts[:MOST_PANELS]
    ]  # fmt: skip
    seeds = "A mark is the mean over seeds, its bar one standard deviation."
    tail = f" A line joins networks that differ in {heading_of(keys[-1])} only." if keys else ""
    return Chart(
        slug(f"{up.heading}-{across.heading}"),
        f"{upper_first(up.heading)} against {across.heading}", seeds + tail,
        large(panels), *names_of(frame, panels),
        [*left_out(len(parts)), *drawn_once(stand_for)],
    )  # fmt: skip


def column(report_data: ReportData, name: str) -> Column:
    """The column with this name. For an unknown name, raises SparsebenchError with the nearest
    match."""
    frame = report_data.frame
    if name in frame and frame[name].dtype.kind == "f" and name in report_data.metrics:
        metric = report_data.metrics[name]
        keys = [key for key in DRIVERS.get(name, ()) if key in parameter_keys(report_data)]
        return Column(metric.heading, frame[name], metric, keys=tuple(keys))
    key = known_key(report_data, name)
    values = [value_at(trial, key) for trial in trials_of(report_data)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    heading = heading_of(key)
    if len(numbers) + values.count(None) == len(values):
        found = pd.Series(values, frame.index, dtype="float64")
        return Column(heading, found, Metric(key, "number"), keys=(key,))
    labels = [label or "none" for label in
              key_labels(report_data, trials_of(report_data), key, bare=True)]  # fmt: skip
    names = tuple(dict.fromkeys(labels))
    found = pd.Series([names.index(one) for one in labels], frame.index, dtype="float64")
    return Column(heading, found, Metric(key), names, (key,))


def known_key(report_data: ReportData, name: str) -> str:
    """The dotted key of a trial that is `name`, or the only one that ends with it. Raises
    SparsebenchError if there is none."""
    keys = parameter_keys(report_data)
    fixed = vars(trials_of(report_data)[0]) if len(report_data.frame) else {}
    if name in keys or name in fixed:
        return name
    ends = [key for key in keys if key.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    frame = report_data.frame
    measured = [m.name for m in report_data.metrics.of_trials()
                if m.name in frame and frame[m.name].notna().any()]  # fmt: skip
    known = [*keys, *measured]
    raise SparsebenchError(f"no column {name!r}.{nearest(name, known)}")


# --- the lines of a panel --------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """The mark of a cell: its mean, and its value of the key that the line connects."""

    x: Spread
    y: Spread
    by: str


def _cells(part: pd.DataFrame) -> list[Mark]:
    """The marks of the cells, in the order in which a line connects them."""
    found = [
        Mark(Spread.of(cell["x"]), Spread.of(cell["y"]), str(cell["by"].iloc[0]))
        for _, cell in groups(part, ["cell"])
    ]
    return sorted(found, key=lambda one: (_number(one.by), one.x.mean))


def _number(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else math.inf


def _texts(part: pd.DataFrame) -> list[tuple[float, float, str, Beside]]:
    return [(one.x.mean, one.y.mean, one.by, "right") for one in _cells(part)]


def _lines(
    part: pd.DataFrame, across: Column, up: Column, stand_for: dict[str, list[str]], *, joined: bool
) -> list[Series]:
    found = []
    for (tone, shape, _), one in groups(part, ["tone", "shape", "line"]):
        marks = _cells(one)
        sd = [0.0 if math.isnan(mark.y.sd) else mark.y.sd for mark in marks]
        means = [mark.y.mean for mark in marks]
        label = join(*dict.fromkeys((tone, shape)))
        named = {"line": [label] * len(marks)} if label else {}
        series = Series(
            [mark.x.mean for mark in marks], means, tone, shape,
            joined="line" if joined and len(marks) > 1 else "", sizes=[MARK] * len(marks),
            low=[m - d for m, d in zip(means, sd)] if any(sd) else (),
            high=[m + d for m, d in zip(means, sd)] if any(sd) else (),
            hover={
                **named,
                across.heading: [across.words(mark.x) for mark in marks],
                up.heading: [up.words(mark.y) for mark in marks],
                "seeds": [str(mark.y.n) for mark in marks],
            },
        )  # fmt: skip
        found.append(_across(series, part["x"], across))
    return without_duplicates(found, up.metric, stand_for)


def _across(one: Series, xs: pd.Series, across: Column) -> Series:
    """The series; if it is the dense network, a single mark on an axis of densities, as a dotted
    horizontal line."""
    alone = len(one.x) == 1 and across.metric.name == "density" and one.x[0] >= DENSE
    if not alone or xs.min() >= DENSE:
        return one
    hover = {name: texts * 2 for name, texts in one.hover.items()}
    return replace(one, x=[float(xs.min()), one.x[0]], y=[one.y[0]] * 2, joined="line",
                   dash="dotted", sizes=(), low=(), high=(), hover=hover)  # fmt: skip
