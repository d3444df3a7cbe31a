"""The explorer, the part of the page in which the reader chooses axes and colour: its data, with a
row per cell (the trials that differ only in seed and fold), and empty figures that the page fills.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool
from bokeh.plotting import figure

from sparsebench.analysis.number_format import join
from sparsebench.analysis.report_data import CELL, ReportData, trials_of
from sparsebench.analysis.trial_settings import value_at
from sparsebench.errors import printable
from sparsebench.report.chart_encoding import parameter_keys
from sparsebench.report.html.bokeh_charts import TONES, TOOLTIP
from sparsebench.report.line_chart import DRIVERS
from sparsebench.suite.labels import brief

MOST_CELLS = 2000
"""The most rows on the page; an export has all."""

COMPONENTS = ("topology", "backend", "trainer")

Scale = Literal["linear", "log"]
SCALES: tuple[Scale, ...] = ("linear", "log")


@dataclass(frozen=True)
class Explorer:
    """The data of the explorer.

    cells    the columns as JSON data: numbers, null if unknown; words are indices into `names`
    figures  an empty figure for each pair of scales of x and y, such as "linear log"
    """

    cells: dict[str, Any]
    figures: list[tuple[str, Any]]


def explorer(report_data: ReportData) -> Explorer | None:
    """The explorer of these trials; None if there are fewer than two cells or nothing varies."""
    frame = report_data.ok
    first = frame.drop_duplicates("cell").head(MOST_CELLS)
    of_first = ReportData(first, report_data.records, report_data.runs, report_data.metrics)
    keys = parameter_keys(of_first)
    if len(first) < 2 or not keys:
        return None
    by_cell = frame.groupby("cell", sort=False)
    columns: dict[str, dict[str, Any]] = {}
    for key in [*keys, *(c for c in ("dataset",) if c not in keys)]:
        columns[key] = {"name": key, "parameter": True, **_parameter(of_first, key)}
    for metric in report_data.metrics.of_trials():
        if metric.name in frame and frame[metric.name].nunique() > 1:
            means = by_cell[metric.name].mean()
            columns[metric.name] = {
                "name": metric.name, "title": metric.heading, "kind": metric.unit,
                "values": [_rounded(means[cell]) for cell in first["cell"]],
            }  # fmt: skip
    sizes = by_cell.size()
    sparser = {*DRIVERS["density"]} & {*keys} - {*report_data.folded}
    chosen = {
        "x": "density" if sparser and "density" in columns else "epoch_seconds",
        "y": report_data.primary.name,
        "color": next((k for k in COMPONENTS if k in keys), keys[0]),
        "log_x": True,
    }
    cells = {
        "columns": columns, "n": [int(sizes[cell]) for cell in first["cell"]],
        "words": [join(*row) for row in first[CELL].itertuples(index=False)],
        "palette": TONES, "chosen": chosen, "drivers": {k: list(v) for k, v in DRIVERS.items()},
    }  # fmt: skip
    return Explorer(cells, [(f"{x} {y}", _empty(x, y)) for x in SCALES for y in SCALES])


def _parameter(report_data: ReportData, key: str) -> dict[str, Any]:
    trials = trials_of(report_data)
    values = [value_at(trial, key) for trial in trials]
    if all(isinstance(v, int | float | None) and not isinstance(v, bool) for v in values):
        return {"title": key, "kind": "number", "values": values}
    labels = [printable("" if value is None else brief(value)) for value in values]
    names = list(dict.fromkeys(labels))
    return {"title": key, "names": names, "values": [names.index(label) for label in labels]}


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _empty(x: Scale, y: Scale) -> Any:
    made: Any = figure(
        height=420, sizing_mode="stretch_width", active_drag=None, active_scroll=None,
        tools="pan,box_zoom,wheel_zoom,reset", min_border_right=12, x_axis_type=x, y_axis_type=y,
        background_fill_color=None, border_fill_color=None,
    )  # fmt: skip
    made.toolbar.logo = None
    made.toolbar.autohide = True
    for name, (axis,) in (("x", made.xaxis), ("y", made.yaxis)):
        axis.formatter = CustomJSTickFormatter(code=f"return window.sparsebench.ticks.{name}(tick)")
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "13px", "12px"
    names = ("x", "y", "color", "cell", "across", "up", "n")
    marks = ColumnDataSource({name: [] for name in names}, name="marks")
    lines = ColumnDataSource({"xs": [], "ys": [], "color": []}, name="lines")
    made.multi_line("xs", "ys", color="color", line_alpha=0.7, line_width=1.5, source=lines)
    seen = made.scatter("x", "y", size=9, color="color", alpha=0.85, source=marks)
    hover_rows = "".join(f"<div>@{name}</div>" for name in ("cell", "across", "up"))
    made.add_tools(HoverTool(
        renderers=[seen],
        tooltips=f'<div style="{TOOLTIP}">{hover_rows}<div>seeds: @n</div></div>',
    ))  # fmt: skip
    return made
