"""The parts that all charts share: figures without a legend, axes in units, keys that are HTML,
and the tone and shape of each name.

Colours that must follow the page's theme are not set here: the page paints axes, grids and all
renderers tagged "ink" when it draws them, and again when the reader changes the theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bokeh.models import (
    AdaptiveTicker,
    Axis,
    CustomJSTickFormatter,
    HoverTool,
    LogTicker,
    NoOverlap,
    NumeralTickFormatter,
)
from bokeh.plotting import figure

from sparsebench.analysis.formats import BYTES, LARGE, SECONDS
from sparsebench.report.plots import PALETTE

GREY = "#808890"
"""In place of the palette's black, which a dark page would hide."""

TONES = tuple(GREY if tone == "#000000" else tone for tone in PALETTE)

SHAPES = (
    ("circle", "●"), ("square", "■"), ("triangle", "▲"), ("diamond", "◆"),
    ("inverted_triangle", "▼"), ("plus", "✚"), ("x", "✖"), ("star", "★"),
)  # fmt: skip
"""Bokeh's markers, and the characters that look like them in a key."""

LINES = ("solid", "dashed", "dotted", "dotdash")
MOST_PANELS = 9

FLAT = 0.02
"""Span of an axis whose numbers are all equal."""

TOOLTIP = "font-size:13px; color:#1b1f24; max-width:22rem; overflow-wrap:anywhere"
"""Tooltips are white, whatever the theme."""


@dataclass(frozen=True)
class Key:
    """One entry below a chart: pressing it hides the renderers tagged `tag`.

    line  a style of LINES, for lines;  shape  a character, for marks
    """

    label: str
    tag: str
    tone: str = GREY
    line: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    figure: Any


@dataclass(frozen=True)
class Chart:
    """notes  on parts that are left out"""

    title: str
    caption: str
    panels: list[Panel]
    keys: list[list[Key]]
    notes: list[str] = field(default_factory=list)


def new_figure(height: int = 340, **options: Any) -> Any:
    """Dragging and scrolling are the page's until the reader chooses a tool."""
    made: Any = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset",
        active_drag=None,
        active_scroll=None,
        min_border_right=12,
        background_fill_color=None,
        border_fill_color=None,
        **options,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    if "y_range" not in options and options.get("y_axis_type") != "log":
        made.y_range.default_span = FLAT
    for axis in made.axis:
        axis.major_label_policy = NoOverlap(min_distance=8)
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "13px"
        axis.major_label_text_font_size = "12px"
    return made


def add_hover(made: Any, renderers: Sequence[Any], rows: Sequence[tuple[str, str]]) -> None:
    """`rows` are names and columns, `@column`, whose text Bokeh escapes."""
    lines = "".join(
        f'<div><span style="color:#57606a">{name}</span> {at}</div>' for name, at in rows
    )
    made.add_tools(
        HoverTool(
            renderers=list(renderers),
            tooltips=f'<div style="{TOOLTIP}">{lines}</div>',
            point_policy="follow_mouse",
        )
    )


def byte_axis(axis: Axis, log: bool = False) -> None:
    """Ticks at powers of two, or at multiples of them."""
    axis.formatter = CustomJSTickFormatter(code=_in_units(((2**40, "TiB"), *BYTES)))
    axis.ticker = (
        LogTicker(base=2, desired_num_ticks=6, num_minor_ticks=0)
        if log
        else AdaptiveTicker(base=1024, mantissas=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    )


def second_axis(axis: Axis) -> None:
    longer = ((3600.0, "h"), (60.0, "min"))
    axis.formatter = CustomJSTickFormatter(code=_in_units((*longer, *SECONDS)))


def share_axis(axis: Axis) -> None:
    axis.formatter = NumeralTickFormatter(format="0.[0] %")


def count_axis(axis: Axis) -> None:
    axis.formatter = CustomJSTickFormatter(code=_in_units(LARGE))


def _in_units(units: Sequence[tuple[float, str]]) -> str:
    known = [[size, unit] for size, unit in units]
    return (
        f"const [size, unit] = {known!r}.find(([size]) => Math.abs(tick) >= size) ?? [1, ''];\n"
        "return `${+(tick / size).toPrecision(3)} ${unit}`.trim()"
    )


@dataclass(frozen=True)
class Looks:
    """The names with a tone of their own, and the names with a shape and a line style of their
    own; the same names twice where both tell one thing apart. The same in all panels of a chart."""

    toned: list[str]
    shaped: list[str]

    @classmethod
    def of(cls, toned: Sequence[str], shaped: Sequence[str]) -> Looks:
        return cls(list(dict.fromkeys(toned)), list(dict.fromkeys(shaped)))

    def tone(self, name: str) -> str:
        return TONES[self.toned.index(name) % len(TONES)]

    def shape(self, name: str) -> str:
        return SHAPES[self.shaped.index(name) % len(SHAPES)][0]

    def line(self, name: str) -> str:
        return LINES[self.shaped.index(name) % len(LINES)]

    def tags(self, toned: str, shaped: str) -> list[str]:
        """The tags by which keys hide a renderer: positions, because names are foreign text."""
        return [f"tone{self.toned.index(toned)}", f"shape{self.shaped.index(shaped)}"]

    def keys(self, *, lines: bool = False) -> list[list[Key]]:
        """A row for the tones and, where they tell more than one name apart, one for the shapes."""
        both = self.toned == self.shaped
        shapes = []
        for i, name in enumerate(self.shaped):
            line = self.line(name) if lines else ""
            character = "" if both and lines else SHAPES[i % len(SHAPES)][1]
            tag, tone = (f"tone{i}", self.tone(name)) if both else (f"shape{i}", GREY)
            shapes.append(Key(name, tag, tone, line, character))
        if both:
            return [shapes]
        tones = [Key(n, f"tone{i}", self.tone(n), shape="●") for i, n in enumerate(self.toned)]
        return [tones, shapes] if len(shapes) > 1 else [tones]
