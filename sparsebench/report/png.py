"""Draws the report's charts with matplotlib, and writes them as PNG files.

Uses matplotlib's object-oriented interface on Agg, which needs no display and no global state.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sparsebench.analysis.number_format import one, rate, seconds, size
from sparsebench.errors import SparsebenchError
from sparsebench.report.chart_style import PALETTE, shape_of
from sparsebench.report.document import Axis, Chart, Panel, Series, plain

INK = "0.35"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINESTYLES = {"solid": "-", "dashed": "--", "dotted": ":"}
DASHES = ("-", "--", ":", "-.")
WIDTH = 8.0
ACROSS = 3
"""The most panels side by side."""

MANY_LABELS, NARROW_LABEL = 12, 24
"""With more labels than this, a legend breaks them after so many characters, to have columns."""

FREE_ROWS, LABEL_HEIGHT = 4, 0.2
"""A figure becomes higher by so many inches for each line of its legend after the first few."""

DPI = 200
"""Dots per inch. Heights in pixels count 100 to the inch, so a file has twice as many each way."""


def write_charts(
    charts: Sequence[Chart], folder: Path, prefix: str = ""
) -> list[tuple[Path, Chart]]:
    """Write each chart into a file. Returns the files with their charts."""
    written = []
    for chart in charts:
        path = folder / f"{prefix}{chart.name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(chart).savefig(path, dpi=DPI, metadata={"Software": "sparsebench"})
        except OSError as error:
            reason = error.strerror or str(error)
            raise SparsebenchError(f"cannot write the plot {path}: {reason}; see -o") from error
        written.append((path, chart))
    return written


def drawn(chart: Chart) -> Figure:
    """A figure as wide as the page, with the panels row by row and one legend below them."""
    across = 1 if chart.panels[0].bare else min(ACROSS, len(chart.panels))
    rows = [chart.panels[i : i + across] for i in range(0, len(chart.panels), across)]
    heights = [max(panel.height for panel in row) / 100 for row in rows]
    figure = Figure(figsize=(WIDTH, 0.6 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), across, squeeze=False, gridspec_kw={"height_ratios": heights})
    for i, ax in enumerate(axes.flat):
        if i < len(chart.panels):
            _draw(ax, chart, chart.panels[i])
        else:
            ax.set_visible(False)
    both = list(chart.toned) == list(chart.shaped)
    keys = [
        [(Line2D([], [], color=_tone(chart, name), linewidth=2,
                 **(_look_in_legend(chart, name) if both else {"marker": "o"})), name)
         for name in chart.toned]
    ]  # fmt: skip
    if not both and len(chart.shaped) > 1:
        keys.append(
            [
                (Line2D([], [], color=INK, **_look_in_legend(chart, name)), name)
                for name in chart.shaped
            ]
        )
    if chart.toned:
        _legend_below(figure, *keys)
    return figure


def _draw(ax: Axes, chart: Chart, panel: Panel) -> None:
    if panel.title and len(chart.panels) > 1:
        ax.set_title(_words(panel.title, 34 if not panel.bare else 60), fontsize=9, wrap=True)
    if panel.image:
        _show(ax, panel)
        return
    if panel.bare:
        ax.set_axis_off()
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    for axis, found in ((ax.xaxis, panel.x), (ax.yaxis, panel.y)):
        if found.log:
            getattr(ax, f"set_{axis.axis_name}scale")(
                "log", base=2 if found.kind == "bytes" else 10
            )
    if any(series.left for series in panel.series):  # room for marks that stand alone
        ax.margins(0.08)
    for series in panel.series:
        _add(ax, chart, series)
    if panel.rule is not None:
        ax.axhline(panel.rule, color=INK, linestyle=":", linewidth=1.5)
    for x, y, text, side in panel.texts:
        align = {"left": ("right", "center"), "right": ("left", "center")}
        across, up = align.get(side, ("center", "bottom"))
        offset = ({"right": 6, "left": -6}.get(side, 0) * (not panel.bare), 0)
        ax.annotate(_words(text), (x, y), offset, textcoords="offset points", ha=across, va=up,
                    fontsize=8)  # fmt: skip
    for axis, found in ((ax.xaxis, panel.x), (ax.yaxis, panel.y)):
        _ticks(axis, found)
        if found.limits is not None:
            low, high = (None if math.isnan(end) else end for end in found.limits)
            getattr(ax, f"set_{axis.axis_name}lim")(low, high)


def _show(ax: Axes, panel: Panel) -> None:
    """Draw the panel's image with a colour bar beside it."""
    low, high = panel.y.limits or (None, None)
    shown = ax.imshow(panel.image, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    ax.figure.colorbar(shown, ax=ax, label=_words(panel.y.label), shrink=0.8)


def _add(ax: Axes, chart: Chart, series: Series) -> None:
    x, y, color = series.x, series.y, _tone(chart, series.toned)
    look = _look(chart, series.shaped)
    if series.low and series.band:
        ax.fill_between(x, series.low, series.high, color=color, alpha=0.18, linewidth=0)
    elif series.low:
        ends = [[b - a for a, b in zip(series.low, y)], [b - a for a, b in zip(y, series.high)]]
        ax.errorbar(x, y, yerr=ends, fmt="none", ecolor="0.7" if series.left else color)
    if series.left:
        ends = [[b - a for a, b in zip(series.left, x)], [b - a for a, b in zip(x, series.right)]]
        ax.errorbar(x, y, xerr=ends, fmt="none", ecolor="0.7", linewidth=1)
    if series.joined:
        dash = LINESTYLES.get(series.dash, look["linestyle"])
        style = "steps-mid" if series.joined == "steps" else "default"
        ax.plot(x, y, color=color, linestyle=dash, linewidth=0.8 * series.width, drawstyle=style)
    if series.sizes and not series.faint:
        ax.scatter(
            x, y, s=[(0.68 * across) ** 2 for across in series.sizes], color=color,
            marker=look["marker"], alpha=0.8, edgecolors="0.2" if series.ahead else "white",
            linewidths=0.8, zorder=3, clip_on=False,
        )  # fmt: skip
    if series.arrow:
        (at,), status = zip(x, y), series.hover["ended"][0]
        ax.plot(*([end] for end in at), marker="_", ms=8, color=color, label=f"censored {status}")
        ax.annotate(
            "", at, xytext=(0, 17), textcoords="offset points",
            arrowprops={"arrowstyle": "<|-", "color": color, "linewidth": 1.5, "shrinkA": 0,
                        "shrinkB": 0},
        )  # fmt: skip
        ax.annotate(
            _words(status), at, xytext=(0, -5), rotation=90, textcoords="offset points",
            ha="center", va="top", fontsize=7, color=color,
        )  # fmt: skip


def _tone(chart: Chart, name: str | None) -> str:
    return INK if name is None else PALETTE[list(chart.toned).index(name) % len(PALETTE)]


def _look(chart: Chart, name: str | None) -> dict[str, Any]:
    at = 0 if name is None else shape_of(chart, name)
    return {"linestyle": DASHES[at % len(DASHES)], "marker": MARKERS[at % len(MARKERS)]}


def _look_in_legend(chart: Chart, name: str) -> dict[str, Any]:
    line = chart.line_of(name)
    return {"linestyle": LINESTYLES[line]} if line else _look(chart, name)


def _words(text: object, most: int = 60) -> str:
    """Foreign text for matplotlib: printable, with dollar signs escaped, wrapped to lines of `most`
    characters. It is not cut, because two labels might then look the same."""
    words = plain(str(text)).replace("$", r"\$")
    return "\n".join(textwrap.wrap(words, most)) or words


def _legend_below(figure: Figure, *groups_of: list[tuple[Any, str]]) -> None:
    """Draw one legend for all panels; each group of (handle, label) begins a new row. A legend of
    many rows makes the figure higher, so that the panels keep their height."""
    most = NARROW_LABEL if sum(map(len, groups_of)) > MANY_LABELS else 60
    groups = [[(handle, _words(label, most)) for handle, label in group] for group in groups_of]
    lines = (line for group in groups for _, label in group for line in label.splitlines())
    widest = max(map(len, lines), default=1)
    across = max(1, min(max(map(len, groups)), 5, int(105 // (widest + 6))))
    rows = [g[i : i + across] for g in groups for i in range(0, len(g), across)]
    blank = (Line2D([], [], linestyle=""), "")
    cells = [row[i] if i < len(row) else blank for i in range(across) for row in rows]
    height = sum(max(label.count("\n") + 1 for _, label in row) for row in rows)
    width, before = figure.get_size_inches()
    figure.set_size_inches(width, before + LABEL_HEIGHT * max(0, height - FREE_ROWS))
    handles, labels = zip(*cells)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=9
    )


def _ticks(axis: Any, found: Axis) -> None:
    """Set ticks in the unit of the axis; for bytes, at round multiples of powers of 1024."""
    axis.set_label_text(_words(found.label))
    if found.log:
        axis.set_minor_locator(NullLocator())
    if found.log and found.kind != "bytes":
        most = 14 / axis.axes.get_gridspec().ncols if axis.axis_name == "x" else 8
        low, high = axis.get_view_interval()
        axis.set_major_locator(_log_locator(low, high, most))
    if found.names:
        axis.set_ticks(range(len(found.names)), [_words(name, 16) for name in found.names])
    if found.whole:
        axis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    if found.kind == "fraction":
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x * 100:.4g} %"))
    show = {"seconds": seconds, "bytes": size, "count": rate}.get(found.kind)
    if show is not None:
        axis.set_major_formatter(
            FuncFormatter(lambda x, _: "0" if x == 0 else _short(show(one(x))))
        )
    if found.kind == "bytes" and not found.log:
        _, high = axis.get_view_interval()
        unit = next((u for u in (2**30, 2**20, 2**10) if high >= 2 * u), 1)
        narrow = axis.axis_name == "x" and axis.axes.get_gridspec().ncols > 2
        axis.set_major_locator(_Multiples(unit, 2 if narrow else 5))


MANTISSAS: tuple[tuple[float, ...], ...] = ((1, 1.2, 1.6, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 5), (1,))
"""Mantissas of the ticks of a logarithmic axis, at distances that look alike."""


def _log_locator(low: float, high: float, most: float) -> LogLocator | MaxNLocator:
    """The finest ticks of a logarithmic axis of which at most so many are between its ends; at
    equal distances if the axis is short."""
    if high < 3 * low:
        return MaxNLocator(max(3, int(most / 2)), steps=[1, 2, 2.5, 5, 10])
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for chosen in MANTISSAS:
        if sum(low <= one * 10.0**power <= high for power in powers for one in chosen) <= most:
            break
    return LogLocator(subs=chosen)


def _short(text: str) -> str:
    """The text of a tick without trailing zeros: `4.00 MiB` becomes `4 MiB`."""
    number, _, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()


class _Multiples(MaxNLocator):
    """At most `intervals` + 1 ticks at round multiples of a unit."""

    def __init__(self, unit: float, intervals: int) -> None:
        super().__init__(nbins=intervals, steps=[1, 2, 4, 5, 10])
        self.unit = unit

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = super().tick_values(vmin / self.unit, vmax / self.unit)
        return [tick * self.unit for tick in ticks]
