"""Plots of the primary metric by epoch and against memory, and the parts that all plots share.

matplotlib's object-oriented interface on Agg: no display, no global state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import Spread, one, seconds, size
from sparsebench.core.metric import Metric
from sparsebench.errors import printable
from sparsebench.store.frames import epoch_value

PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
"""Okabe and Ito (2008): told apart with any colour vision."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
WIDTH = 8.0
MOST_PANELS = 9

LEAST_SPAN = 4.0
"""Sizes closer together than this factor are no scaling."""


def new_figure(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Any]]:
    """A figure of the page's width, and its axes row by row."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        ax.grid(color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)


def colors(names: Sequence[str]) -> dict[str, str]:
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}


def legend_below(figure: Figure, *groups_of: list[tuple[Any, str]]) -> None:
    """One legend for all panels: each group of (handle, label) begins a row of its own."""
    widest = max((len(label) for group in groups_of for _, label in group), default=1)
    across = max(1, min(max(map(len, groups_of)), 5, int(105 // (widest + 6))))
    rows = [g[i : i + across] for g in groups_of for i in range(0, len(g), across)]
    blank = (Line2D([], [], linestyle=""), "")
    cells = [row[i] if i < len(row) else blank for i in range(across) for row in rows]
    handles, labels = zip(*cells)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=9
    )


def line_keys(color: dict[str, str], **look: Any) -> list[tuple[Any, str]]:
    """Legend entries, a line per colour."""
    look = {"linewidth": 2, **look}
    return [(Line2D([], [], color=value, **look), plain(name)) for name, value in color.items()]


def plain(text: object, most: int = 60) -> str:
    """Foreign text, printable, without mathematics between dollar signs, and not too long."""
    words = printable(str(text)).replace("$", r"\$")
    return words if len(words) <= most else words[: most - 1] + "…"


def learning_curves(evidence: Evidence) -> Figure | None:
    """Mean of the primary metric by epoch, a panel per setting and backend, a colour per
    topology."""
    curves = result_by_epoch(evidence)
    if curves.empty or curves["epoch"].nunique() < 2:
        return None
    panels = list(groups(curves, ["setting", "backend_label"]))
    shown = panels[:MOST_PANELS]
    backends = curves["backend_label"].nunique()
    across = min(backends if 2 <= backends <= 4 else 3, len(shown))
    down = math.ceil(len(shown) / across)
    figure, axes = new_figure(down, across, 0.6 + 2.7 * down, sharex=True, sharey=True)
    color = colors(list(curves["topology_label"]))
    dash: dict[str, Any] = {name: DASHES[i % len(DASHES)] for i, name in enumerate(color)}
    for ax, ((setting, backend), panel) in zip(axes, shown):
        for topology, part in groups(panel, ["topology_label"]):
            _band(ax, part, color[topology], dash[topology])
        title = [plain(name, 34) for name in (setting, backend) if name]
        ax.set_title("\n".join(title), fontsize=9)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        _result_axis(ax, evidence.primary, ".0f")
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for ax in axes[max(0, len(shown) - across) : len(shown)]:
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    figure.supylabel(evidence.primary.heading, fontsize=10)
    if len(panels) > len(shown):
        figure.suptitle(f"the first {len(shown)} of {len(panels)} panels", fontsize=9)
    keys = [
        (Line2D([], [], color=color[name], linestyle=dash[name], linewidth=2), plain(name))
        for name in color
    ]
    legend_below(figure, keys)
    return figure


def _result_axis(ax: Axes, metric: Metric, digits: str) -> None:
    """A share is shown as a percentage."""
    if metric.unit == "fraction":
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y * 100:{digits}} %"))


def result_by_epoch(evidence: Evidence) -> pd.DataFrame:
    """Labels, seed, epoch and the primary metric, as `value`, of every epoch that has one."""
    name, frame = evidence.primary.name, evidence.of_primary.frame
    rows = [
        [*row, int(line["epoch"]), value]
        for i, *row in frame[[*CELL, "seed"]].itertuples()
        for line in evidence.runs[i].epochs(evidence.records[i])
        if (value := epoch_value(line, name)) is not None
    ]
    return pd.DataFrame(rows, columns=[*CELL, "seed", "epoch", "value"])


def _band(ax: Axes, part: pd.DataFrame, color: str, dash: str) -> None:
    """Dashes let a line be seen that lies below another."""
    by_epoch = [(epoch, Spread.of(seeds["value"])) for epoch, seeds in part.groupby("epoch")]
    x = [float(str(epoch)) for epoch, _ in by_epoch]
    mean = [s.mean for _, s in by_epoch]
    few = len(x) <= 12
    marker = "o" if few else ""
    ax.plot(x, mean, color=color, linestyle=dash, linewidth=1.6, marker=marker, markersize=3)
    if any(s.n > 1 for _, s in by_epoch):
        sd = [0.0 if math.isnan(s.sd) else s.sd for _, s in by_epoch]
        low = [m - d for m, d in zip(mean, sd)]
        high = [m + d for m, d in zip(mean, sd)]
        ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def result_memory(evidence: Evidence) -> Figure | None:
    """A marker per cell: colour its topology, shape its backend, area its seconds per epoch."""
    metric = evidence.primary
    names = (metric.name, "net_peak_bytes", "epoch_seconds")
    cells = [
        (*key, *(Spread.of(c[name]) for name in names))
        for key, c in (groups(evidence.of_primary.ok, CELL) if metric.name in evidence.ok else ())
    ]
    cells = [cell for cell in cells if cell[3].n and cell[4].n and cell[4].mean > 0]
    if len(cells) < 2:
        return None
    figure, (ax,) = new_figure(1, 1, 4.4)
    color = colors([cell[1] for cell in cells])
    backends = list(dict.fromkeys(cell[2] for cell in cells))
    marker = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(backends)}
    slowest = max((c[5].mean for c in cells if c[5].n), default=math.nan)
    for _, topology, backend, result, memory, epoch in cells:
        share = epoch.mean / slowest if epoch.n and slowest > 0 else 0.3
        x, y = memory.mean, result.mean
        errors = [0.0 if math.isnan(s.sd) else s.sd for s in (memory, result)]
        ax.errorbar(x, y, xerr=errors[0], yerr=errors[1], fmt="none", ecolor="0.7", linewidth=1)
        ax.scatter(
            [x], [y], s=40 + 360 * share, color=color[topology], marker=marker[backend],
            alpha=0.75, edgecolors="white", linewidths=0.8, zorder=3,
        )  # fmt: skip
    spread_out = max(c[4].mean for c in cells) > 8 * min(c[4].mean for c in cells)
    byte_axis(ax.xaxis, log=spread_out)
    _result_axis(ax, metric, ".4g")
    ax.set_xlabel("net peak memory")
    ax.set_ylabel(metric.heading)
    ax.margins(0.12)
    keys = [
        (Line2D([], [], color=color[name], marker="o", linestyle=""), plain(name)) for name in color
    ]
    shapes = [
        (Line2D([], [], color="0.4", marker=marker[name], linestyle=""), plain(name))
        for name in backends
    ]
    legend_below(figure, keys, *([shapes] if len(backends) > 1 else []))
    return figure


def sizes_vary(ok: pd.DataFrame) -> bool:
    """Whether one topology and backend ran with numbers of connections far apart."""
    for _, part in groups(ok, CELL[1:]) if len(ok) else ():
        sizes = part["initial_connections"].dropna()
        if sizes.nunique() > 1 and sizes.max() >= LEAST_SPAN * sizes.min() > 0:
            return True
    return False


def byte_axis(axis: Any, log: bool = False) -> None:
    """Ticks at powers of two where the axis is logarithmic, and at round binary sizes."""
    _axis(axis, lambda x: size(one(x)), 2 if log else None)
    if not log:
        _, high = axis.get_view_interval()
        unit = next((u for u in (2**30, 2**20, 2**10) if high >= 2 * u), 1)
        axis.set_major_locator(_Multiples(unit))


def second_axis(axis: Any, log: bool = False) -> None:
    _axis(axis, lambda x: seconds(one(x)), 10 if log else None)


def _axis(axis: Any, show: Callable[[float], str], base: int | None) -> None:
    if base is not None:
        getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=base)
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: "0" if x == 0 else _short(show(x))))


def _short(text: str) -> str:
    """A tick without its trailing zeros: 4.00 MiB as 4 MiB."""
    number, _, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".strip()


class _Multiples(MaxNLocator):
    """At most six ticks at round multiples of a unit."""

    def __init__(self, unit: float) -> None:
        super().__init__(nbins=5, steps=[1, 2, 4, 5, 10])
        self.unit = unit

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = super().tick_values(vmin / self.unit, vmax / self.unit)
        return [tick * self.unit for tick in ticks]
