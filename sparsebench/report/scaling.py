"""Time and memory against the number of connections, with the trials that met a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import Spread
from sparsebench.core.status import Status
from sparsebench.report.plots import (
    DASHES,
    MARKERS,
    byte_axis,
    colors,
    legend_below,
    line_keys,
    new_figure,
    plain,
    second_axis,
    sizes_vary,
)
from sparsebench.store.record import Record

PANELS = (("epoch_seconds", "time per epoch"), ("net_peak_bytes", "net peak memory"))
HEADROOM = 0.25
"""Of the height of a panel with arrows: left free above the points."""


@dataclass(frozen=True)
class Censored:
    """A trial that ended at a limit: its size, and the bound that it passed, if known."""

    topology: str
    backend: str
    connections: float | None
    bound: float | None
    status: str


def scaling(evidence: Evidence) -> Figure | None:
    """A line per topology and backend; None unless the connections of one of them vary."""
    if not sizes_vary(evidence.ok):
        return None
    figure, axes = new_figure(1, 2, 4.4)
    backends = list(dict.fromkeys(evidence.frame["backend_label"]))
    topologies = list(dict.fromkeys(evidence.frame["topology_label"]))
    by_backend = len(backends) > 1
    color = colors(backends if by_backend else topologies)
    style = {name: i for i, name in enumerate(topologies if by_backend else backends)}
    for ax, (measure, title) in zip(axes, PANELS):
        ax.set_xscale("log")
        second_axis(ax.yaxis, log=True) if measure == "epoch_seconds" else byte_axis(ax.yaxis, True)
        for (topology, backend), part in groups(evidence.ok, CELL[1:]):
            own, other = (backend, topology) if by_backend else (topology, backend)
            _line(ax, part, measure, color[own], style[other])
        ax.set_xlabel("connections")
        ax.set_ylabel(title)
        met = [
            (one, color[one.backend if by_backend else one.topology])
            for one in censored(evidence, measure)
        ]
        _arrows(ax, met)
    looks = [(Line2D([], [], color="0.4", **_look(i)), plain(name)) for name, i in style.items()]
    legend_below(figure, line_keys(color), *([looks] if len(style) > 1 else []))
    return figure


def censored(evidence: Evidence, measure: str) -> Iterator[Censored]:
    """The trials that ran out of memory or time, with what they show of `measure`.

    A timeout bounds the time per epoch from below by timeout / epochs; a memory limit bounds
    the memory. A trial that failed for the one says nothing of the other: no bound.
    """
    frame = evidence.frame
    for i, row in frame.iterrows():
        if row["status"] not in (Status.OUT_OF_MEMORY, Status.TIMEOUT):
            continue
        bound = _bound(evidence.records[int(str(i))], measure)
        yield Censored(
            row["topology_label"], row["backend_label"], _size(frame, row), bound, row["status"]
        )


def _bound(record: Record, measure: str) -> float | None:
    trial = record.trial
    if measure == "epoch_seconds" and record.status == Status.TIMEOUT and trial.timeout:
        return trial.timeout / trial.epochs
    if measure == "net_peak_bytes" and record.status == Status.OUT_OF_MEMORY:
        return memory_refused(record)
    return None


def memory_refused(record: Record) -> float | None:
    """What the network needed more than: the limit, less what the process held before it. An
    allocation is refused as a whole, so what was reached by then may be next to nothing."""
    peak, net = (record.measures.get(name) for name in ("peak_rss_bytes", "net_peak_bytes"))
    if record.trial.memory_limit is None:
        return float(net or peak or 0) or None
    before = peak - net if peak and net else 0
    return float(max(record.trial.memory_limit - before, net or 0))


def _size(frame: pd.DataFrame, row: pd.Series) -> float | None:
    """Connections at the start: its own, else of a trial of the same setting and topology
    (which starts from the same ones), else of the setting with any topology."""
    if row["initial_connections"] > 0:
        return float(row["initial_connections"])
    alike = frame[(frame["setting"] == row["setting"]) & (frame["initial_connections"] > 0)]
    same = alike[alike["topology_label"] == row["topology_label"]]
    found = (same if len(same) else alike)["initial_connections"]
    return float(found.median()) if len(found) else None


def _line(ax: Axes, part: pd.DataFrame, measure: str, color: str, style: int) -> None:
    points = []
    for _, cell in groups(part, ["setting"]):
        x, y = Spread.of(cell["initial_connections"]), Spread.of(cell[measure])
        if x.n and y.n and x.mean > 0 and y.mean > 0:
            points.append((x.mean, y.mean, 0.0 if math.isnan(y.sd) else min(y.sd, 0.99 * y.mean)))
    if points:
        x_all, y_all, sd = zip(*sorted(points))
        ax.errorbar(x_all, y_all, yerr=sd, color=color, linewidth=1.5, elinewidth=1, **_look(style))


def _look(style: int) -> dict[str, Any]:
    marker = MARKERS[style % len(MARKERS)]
    return {"linestyle": DASHES[style % len(DASHES)], "marker": marker, "markersize": 5}


def _arrows(ax: Axes, met: list[tuple[Censored, str]]) -> None:
    """An arrow up from each bound; at the top where no bound is known, at the right edge where
    no size is. Trials that would be drawn alike are one arrow."""
    distinct = list({(one.connections, one.bound, one.status, c): one for one, c in met}.items())
    if not distinct:
        return
    sizes = [one.connections for _, one in distinct if one.connections is not None]
    bounds = [one.bound for _, one in distinct if one.bound is not None]
    ax.update_datalim([(x, y) for x in sizes for y in bounds], updatex=True, updatey=bool(bounds))
    ax.autoscale_view()
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** (HEADROOM / (1 - HEADROOM)))
    level = 0.9
    for (_, _, _, color), one in distinct:
        at = level if one.bound is None else one.bound
        _arrow(ax, one, at, color)
        level -= 0.08 if one.bound is None else 0.0


def _arrow(ax: Axes, one: Censored, y: float, color: str) -> None:
    """From (size, y) up, its status below it; `y` is a share of the height without a bound."""
    x = 0.97 if one.connections is None else one.connections
    transform = blended_transform_factory(
        ax.transAxes if one.connections is None else ax.transData,
        ax.transAxes if one.bound is None else ax.transData,
    )
    ax.plot(
        [x], [y], marker="_", ms=8, color=color, transform=transform, label=f"censored {one.status}"
    )
    ax.annotate(
        "", (x, y), xycoords=transform, xytext=(0, 17), textcoords="offset points",
        arrowprops={"arrowstyle": "<|-", "color": color, "linewidth": 1.5, "shrinkA": 0,
                    "shrinkB": 0},
    )  # fmt: skip
    ax.annotate(
        plain(one.status), (x, y), xycoords=transform, xytext=(0, -5), rotation=90,
        textcoords="offset points", ha="center", va="top", fontsize=7, color=color,
    )  # fmt: skip
