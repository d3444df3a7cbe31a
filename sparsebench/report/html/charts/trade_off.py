"""The primary metric against net peak memory, with time as a mark's size and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.models import ColumnDataSource

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import Spread, in_unit, result_words, seconds, size
from sparsebench.core.metric import Metric
from sparsebench.report.html.charts.canvas import (
    GREY,
    MOST_PANELS,
    Chart,
    Looks,
    Panel,
    add_hover,
    byte_axis,
    new_figure,
    share_axis,
)

SMALLEST, LARGEST = 9.0, 30.0
"""Pixels across a mark."""

WIDE = 8.0
"""Ratio of memory from which on its axis is logarithmic."""

CAPTION = (
    "{up} and to the left is better. A mark is a cell, the mean over its seeds; its area grows "
    "with the time per epoch, and bars show one standard deviation. The dashed line joins the "
    "Pareto front, outlined: no other cell does as well with less memory."
)
TOOLTIPS = [
    ("setting", "@setting"), ("topology", "@topology"), ("backend", "@backend"),
    ("net peak", "@shown_memory"), ("an epoch", "@shown_epoch"),
    ("seeds", "@n"), ("Pareto front", "@front"),
]  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A cell that has both numbers."""

    setting: str
    topology: str
    backend: str
    result: Spread
    memory: Spread
    epoch: Spread


def chart(evidence: Evidence) -> Chart | None:
    """A panel per data set; None without two cells that have both numbers."""
    by_set: dict[str, list[Point]] = {}
    metric, frame = evidence.primary, evidence.of_primary.ok
    for (dataset, *labels), cell in (
        groups(frame, ["dataset", *CELL]) if metric.name in frame else ()
    ):
        setting, topology, backend = map(str, labels)
        names = (metric.name, "net_peak_bytes", "epoch_seconds")
        spreads = [Spread.of(cell[name]) for name in names]
        point = Point(setting, topology, backend, *spreads)
        if point.result.n and point.memory.mean > 0:
            by_set.setdefault(str(dataset), []).append(point)
    every = [point for points in by_set.values() for point in points]
    if len(every) < 2:
        return None
    slowest = max((p.epoch.mean for p in every if p.epoch.n), default=math.nan)
    backends = [p.backend for p in every]
    topologies = [p.topology for p in every]
    looks = Looks.of(topologies if len({*topologies}) > 1 else backends, backends)
    shown = list(by_set.items())[:MOST_PANELS]
    panels = [Panel(name, _figure(points, looks, slowest, metric)) for name, points in shown]
    notes = []
    if len(by_set) > len(shown):
        notes = [f"The first {len(shown)} of {len(by_set)} data sets."]
    heading, best = result_words(metric)
    caption = CAPTION.format(up="Up" if best == "highest" else "Down")
    return Chart(f"{heading} against memory", caption, panels, looks.keys(), notes)


def pareto(points: Sequence[Point], better: int = 1) -> list[Point]:
    """The Pareto front by memory: no other point is as good in both; of equals the first. `better`
    is 1 where more of the result is better, -1 where less is."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.memory.mean, -better * p.result.mean)):
        if not front or better * point.result.mean > better * front[-1].result.mean:
            front.append(point)
    return front


def _figure(points: Sequence[Point], looks: Looks, slowest: float, metric: Metric) -> Any:
    memory = [point.memory.mean for point in points]
    log = max(memory) > WIDE * min(memory)
    made = new_figure(400, x_axis_type="log" if log else "linear")
    byte_axis(made.xaxis[0], log)
    if metric.unit == "fraction":
        share_axis(made.yaxis[0])
    made.xaxis[0].axis_label, made.yaxis[0].axis_label = "net peak memory", metric.heading
    made.x_range.range_padding = made.y_range.range_padding = 0.15
    front = pareto(points, metric.better)
    made.line(
        [p.memory.mean for p in front], [p.result.mean for p in front],
        line_dash="dashed", line_width=1.5, color=GREY, tags=["ink"],
    )  # fmt: skip
    alike: dict[tuple[str, str, bool], list[Point]] = {}
    for p in points:
        alike.setdefault((p.topology, p.backend, p in front), []).append(p)
    marks = [
        _marks(made, part, looks, slowest, ahead, metric) for (*_, ahead), part in alike.items()
    ]
    add_hover(made, marks, [(result_words(metric)[0], "@shown_result"), *TOOLTIPS])
    return made


def _marks(
    made: Any, points: list[Point], looks: Looks, slowest: float, ahead: bool, metric: Metric
) -> Any:
    """Bars and marks of cells that look alike; outlined if they are on the front."""
    first = points[0]
    toned = first.topology if first.topology in looks.toned else first.backend
    tags, tone = looks.tags(toned, first.backend), looks.tone(toned)
    rows = [_row(p, slowest, ahead, metric) for p in points]
    source = ColumnDataSource({name: [row[name] for row in rows] for name in rows[0]})
    for ends in (("left", "y", "right", "y"), ("x", "low", "x", "high")):
        made.segment(*ends, source=source, color=GREY, alpha=0.7, tags=tags)
    return made.scatter(
        "x", "y", source=source, marker=looks.shape(first.backend), size="across", alpha=0.8,
        color=tone, line_color=GREY if ahead else tone, line_width=2 if ahead else 1,
        tags=[*tags, "ink-outline"] if ahead else tags,
    )  # fmt: skip


def _row(p: Point, slowest: float, ahead: bool, metric: Metric) -> dict[str, Any]:
    x, y = p.memory.mean, p.result.mean
    across, up = (0.0 if math.isnan(s.sd) else s.sd for s in (p.memory, p.result))
    share = p.epoch.mean / slowest if p.epoch.n and slowest > 0 else 0.0
    return {
        "x": x, "y": y, "left": max(x - across, x / 1000), "right": x + across, "low": y - up,
        "high": y + up, "across": SMALLEST + (LARGEST - SMALLEST) * math.sqrt(share),
        "setting": p.setting or "–", "topology": p.topology, "backend": p.backend,
        "shown_result": in_unit(metric, p.result), "shown_memory": size(p.memory),
        "shown_epoch": seconds(p.epoch), "n": p.result.n, "front": "yes" if ahead else "no",
    }  # fmt: skip
