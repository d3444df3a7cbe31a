"""Draws the report's charts with Bokeh. Legends are not part of them: the page shows them as HTML.

Colours that depend on the page's theme are not set here: the page colours axes, grids and all
renderers tagged "ink" when it draws them, and again when the reader changes the theme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import (
    AdaptiveTicker,
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    DataRange1d,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    LogTicker,
    NoOverlap,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.models.annotations import ColorBar, Span
from bokeh.plotting import figure
from markupsafe import escape

from sparsebench.analysis.number_format import BYTES, LARGE, SECONDS
from sparsebench.report.chart_style import PALETTE, shape_of
from sparsebench.report.document import Axis, Chart, Panel, Series

GREY = "#808890"
"""Replaces the palette's black, which would be invisible on a dark page."""

TONES = tuple(GREY if tone == "#000000" else tone for tone in PALETTE)

SHAPES = (
    ("circle", "●"), ("square", "■"), ("triangle", "▲"), ("diamond", "◆"),
    ("inverted_triangle", "▼"), ("plus", "✚"), ("x", "✖"), ("star", "★"),
)  # fmt: skip
"""Bokeh's markers, and characters of the same shape for the legend."""

LINES = ("solid", "dashed", "dotted", "dotdash")

FLAT = 0.02
"""Length of a y axis whose values are all equal, in its unit."""

AROUND, OUTLINE = 100.0, 2.0
"""Pixels of a panel's height that axes and tools take, and pixels around a mark."""

TOOLTIP = (
    "margin:-6px -12px; padding:6px 12px; border-radius:4px; font-size:13px; max-width:22rem;"
    " overflow-wrap:anywhere; background:var(--panel); color:var(--ink)"
)
"""The style of tooltips: covers the white background of Bokeh's tooltips with that of the page."""

UNITS = {
    "bytes": ((2**40, "TiB"), *BYTES),
    "seconds": ((3600.0, "h"), (60.0, "min"), *SECONDS),
    "count": LARGE,
}


@dataclass(frozen=True)
class Key:
    """One entry of the legend below a chart. Pressing it hides the renderers tagged `tag`.

    line   a style of LINES, if the entry is for lines
    shape  a character, if the entry is for marks
    """

    label: str
    tag: str
    tone: str = GREY
    line: str = ""
    shape: str = ""


def keys(chart: Chart) -> list[list[Key]]:
    """The legend: a row of entries for the tones and, if there are several shapes, one for
    these."""
    lines = any(series.joined and series.toned for p in chart.panels for series in p.series)
    both, shapes = list(chart.toned) == list(chart.shaped), []
    for i, name in enumerate(chart.shaped):
        at = shape_of(chart, name)
        own = chart.line_of(name)
        line = own or (LINES[at % len(LINES)] if lines else "")
        character = SHAPES[at % len(SHAPES)][1] if not lines or _marked(chart) else ""
        character = "" if own else character
        tag, tone = (f"tone{i}", TONES[i % len(TONES)]) if both else (f"shape{i}", GREY)
        shapes.append(Key(name, tag, tone, line, character))
    if both:
        return [shapes] if shapes else []
    tones = [Key(name, f"tone{i}", TONES[i % len(TONES)], shape="●")
             for i, name in enumerate(chart.toned)]  # fmt: skip
    return [tones, shapes] if len(shapes) > 1 else [tones]


def _marked(chart: Chart) -> bool:
    return any(s.sizes and not s.faint and s.shaped for p in chart.panels for s in p.series)


def drawn(chart: Chart, panel: Panel) -> Any:
    """Draw a panel. Dragging and scrolling move the page until the reader chooses a tool."""
    if panel.image:
        return _shown(panel)
    made: Any = figure(
        height=int(panel.height), sizing_mode="stretch_width", active_drag=None,
        tools="pan,box_zoom,wheel_zoom,reset", active_scroll=None, min_border_right=12,
        background_fill_color=None, border_fill_color=None,
        x_axis_type="log" if panel.x.log else "linear",
        y_axis_type="log" if panel.y.log else "linear",
    )  # fmt: skip
    made.toolbar.logo = None
    made.toolbar.autohide = True
    _set_axis(made, "x", panel.x)
    _set_axis(made, "y", panel.y)
    for found in (made.x_range, made.y_range):
        if isinstance(found, DataRange1d):
            found.range_padding = max(found.range_padding, _padding(panel))
    for axis in made.axis:
        axis.major_label_policy = NoOverlap(min_distance=8)
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"
        axis.visible = not panel.bare
    made.grid.visible = not panel.bare
    hovered: dict[tuple[str, ...], list[Any]] = {}
    for series in panel.series:
        hovered.setdefault(tuple(series.hover), []).append(_add(made, chart, series))
    for names, renderers in hovered.items():
        if names:
            lines = "".join(
                f'<div><span style="color:var(--quiet)">{escape(name)}</span> @{{{name}}}</div>'
                for name in names
            )
            tooltips = f'<div style="{TOOLTIP}">{lines}</div>'
            made.add_tools(
                HoverTool(renderers=renderers, tooltips=tooltips, point_policy="follow_mouse")
            )
    if panel.rule is not None:
        rule = Span(location=panel.rule, dimension="width", line_dash="dotted", line_color=GREY,
                    line_width=1.5, tags=["ink"])  # fmt: skip
        made.add_layout(rule)
    align = {"left": ("right", "middle"), "right": ("left", "middle")}
    for x, y, text, side in panel.texts:
        across, up = align.get(side, ("center", "bottom"))
        offset = {"right": 8, "left": -8}.get(side, 0) * (not panel.bare)
        made.text([x], [y], text=[text], x_offset=offset, text_align=across, text_baseline=up,
                  text_color=GREY, text_font_size="12px", tags=["ink"])  # fmt: skip
    for renderer in made.renderers:  # nothing is selected or muted: two thirds of a chart's size
        renderer.selection_glyph = renderer.nonselection_glyph = renderer.muted_glyph = None
    return made


def _shown(panel: Panel) -> Any:
    """Draw an image with a colour bar beside it."""
    values = np.asarray(panel.image, dtype=np.float32)
    high, wide = values.shape
    made: Any = figure(
        height=int(panel.height), sizing_mode="stretch_width", match_aspect=True, tools="",
        toolbar_location=None, background_fill_color=None, border_fill_color=None,
    )  # fmt: skip
    low, most = panel.y.limits or (float(values.min()), float(values.max()))
    mapper = LinearColorMapper(palette="Viridis256", low=low, high=most)
    made.image([values[::-1]], x=0, y=0, dw=wide, dh=high, color_mapper=mapper)
    made.add_layout(
        ColorBar(color_mapper=mapper, background_fill_color=None, major_label_text_color=GREY),
        "right",
    )
    made.axis.visible = made.grid.visible = False
    value = f'<span style="color:var(--quiet)">{escape(panel.y.label)}</span> @image'
    made.add_tools(HoverTool(tooltips=f'<div style="{TOOLTIP}">{value}</div>'))
    return made


def _padding(panel: Panel) -> float:
    """The fraction of the data's range by which an axis is extended, so that no mark is cut off."""
    largest = max((size for one in panel.series for size in one.sizes), default=0.0)
    within = min(0.2, (largest / 2 + OUTLINE) / max(1.0, panel.height - AROUND))
    alone = 0.15 if any(series.left for series in panel.series) else 0.1
    return max(alone, 2 * within / (1 - 2 * within))


def _set_axis(made: Any, at: str, found: Axis) -> None:
    (axis,), data_range = getattr(made, f"{at}axis"), getattr(made, f"{at}_range")
    axis.axis_label = found.label
    if found.limits is not None and found.limits[1] == found.limits[1]:
        setattr(made, f"{at}_range", Range1d(start=found.limits[0], end=found.limits[1]))
    elif found.limits is not None:
        data_range.start = found.limits[0]
    elif not found.log and at == "y":
        data_range.default_span = FLAT
    if found.names:
        axis.ticker = FixedTicker(ticks=list(range(len(found.names))))
        axis.major_label_overrides = dict(enumerate(found.names))
        data_range.range_padding = 0.15
    if found.whole:
        axis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
    if found.kind == "fraction":
        axis.formatter = NumeralTickFormatter(format="0.[0] %")
    if found.kind in UNITS:
        known = [[size, unit] for size, unit in UNITS[found.kind]]
        axis.formatter = CustomJSTickFormatter(code=(
            f"const [size, unit] = {known!r}.find(([size]) => Math.abs(tick) >= size) ?? [1, ''];\n"
            "return `${+(tick / size).toPrecision(3)} ${unit}`.trim()"
        ))  # fmt: skip
    if found.kind == "bytes":
        axis.ticker = (
            LogTicker(base=2, desired_num_ticks=6, num_minor_ticks=0)
            if found.log
            else AdaptiveTicker(base=1024, mantissas=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
        )


def _add(made: Any, chart: Chart, series: Series) -> Any:
    """Draw a series. Returns the renderer to which its tooltips belong."""
    data: dict[str, Any] = dict(series.hover)
    for name in ("x", "y", "low", "high", "left", "right", "sizes"):
        if getattr(series, name):
            data[name] = np.asarray(getattr(series, name), dtype=np.float32)
    tone, at, tags = GREY, 0, ["ink"]
    if series.toned is not None and series.shaped is not None:
        toned, at = list(chart.toned).index(series.toned), shape_of(chart, series.shaped)
        shaped = list(chart.shaped).index(series.shaped)
        tone, tags = TONES[toned % len(TONES)], [f"tone{toned}", f"shape{shaped}"]
    if series.arrow:
        data["head"] = 1.5 * data["y"]
    source, look = ColumnDataSource(data), {"color": tone, "tags": tags}
    found: Any = None
    if series.low and series.band:
        made.varea("x", "low", "high", source=source, alpha=0.18, **look)
    elif series.low:
        made.segment("x", "low", "x", "high", source=source, **look)
    if series.left:
        made.segment("left", "y", "right", "y", source=source, **look)
    if series.joined:
        style = {"line_dash": series.dash or LINES[at % len(LINES)], "width": series.width}
        steps = {"mode": "center"} if series.joined == "steps" else {}
        draw = made.step if steps else made.line
        found = draw("x", "y", source=source, **style, **steps, **look)
    if series.sizes:
        outline = {"line_color": GREY, "line_width": 2} if series.ahead else {}
        found = made.scatter(
            "x", "y", source=source, marker=SHAPES[at % len(SHAPES)][0], size="sizes", color=tone,
            alpha=0.0 if series.faint else 0.8 if series.left else 1.0, hover_alpha=1.0,
            tags=[*tags, "ink-outline"] if series.ahead else tags, **outline,
        )  # fmt: skip
    if series.arrow:
        made.segment("x", "y", "x", "head", source=source, width=2, **look)
        made.scatter("x", "y", source=source, marker="dash", size=12, width=2, **look)
        found = made.scatter("x", "head", source=source, marker="triangle", size=11, **look)
    return found
