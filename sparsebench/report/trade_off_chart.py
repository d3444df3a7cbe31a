"""The chart of the primary metric against memory, with time and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sparsebench.analysis.number_format import (
    in_unit,
    result_words,
    seconds,
    size,
)
from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.analysis.statistics import Spread
from sparsebench.core.metric import Metric
from sparsebench.report.chart_encoding import SIZE, distinctions
from sparsebench.report.chart_style import (
    left_out,
    names_of,
    result_axis,
)
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel, Series

SMALLEST, LARGEST = 9.0, 24.0
"""Smallest and largest diameter in pixels of a mark. The part above the smallest grows with the
square root of the time per epoch."""

WIDE = 8.0
"""The axis of memory is logarithmic if the ratio of largest to smallest is at least this."""


@dataclass(frozen=True)
class Point:
    """A cell (the trials that differ only in seed and fold) whose metric and memory are known.

    tone, shape  names that decide its colour and its marker
    words        setting, topology and backend
    result, memory, epoch  the primary metric, net peak bytes and seconds per epoch, over the seeds
    """

    tone: str
    shape: str
    words: tuple[str, ...]
    result: Spread
    memory: Spread
    epoch: Spread


def trade_off(report_data: ReportData) -> Chart | None:
    """The primary metric against net peak memory, with the size of a mark for time, the Pareto
    front, and a panel per data set; None unless two cells have both numbers."""
    judged = report_data.of_primary
    metric, frame = judged.primary, judged.ok
    if metric.name not in frame or frame.empty:
        return None
    distinct = distinctions(replace(judged, frame=frame), SIZE, panel="dataset")
    frame = frame.assign(tone=distinct["tone"], shape=distinct["shape"])
    by_set: dict[str, list[Point]] = {}
    for (dataset, tone, shape, _), cell in groups(frame, ["dataset", "tone", "shape", "cell"]):
        names = (metric.name, "net_peak_bytes", "epoch_seconds")
        words = tuple(str(cell[name].iloc[0]) or "–" for name in CELL)
        point = Point(tone, shape, words, *(Spread.of(cell[name]) for name in names))
        if point.result.n and point.memory.mean > 0:
            by_set.setdefault(str(dataset), []).append(point)
    every = [point for points in by_set.values() for point in points]
    if len(every) < 2:
        return None
    slowest = max((p.epoch.mean for p in every if p.epoch.n), default=math.nan)
    panels = []
    for dataset, points in [*by_set.items()][:MOST_PANELS]:
        memory = [point.memory.mean for point in points]
        front = pareto(points, metric.better)
        series = [_stairs(front)]
        alike: dict[tuple[str, str, bool], list[Point]] = {}
        for p in points:
            alike.setdefault((p.tone, p.shape, p in front), []).append(p)
        for (_, _, ahead), part in alike.items():
            series.append(_marks(part, metric, slowest, ahead))
        log = max(memory) > WIDE * min(memory)
        axes = Axis("net peak memory", "bytes", log), result_axis(metric)
        panels.append(Panel(dataset if len(by_set) > 1 else "", *axes, series, 400))
    heading, best = result_words(metric)
    return Chart(
        "accuracy-memory", f"{heading} against memory",
        f"{'Up' if best == 'highest' else 'Down'} and to the left is better. A mark is a cell, the "
        "mean over its seeds; its area grows with the time per epoch, and bars show one standard "
        "deviation. The dashed steps are the Pareto front, its marks outlined: no other cell does "
        "as well with less memory.",
        panels, *names_of(frame, panels), left_out(len(by_set)),
    )  # fmt: skip


def _stairs(front: Sequence[Point]) -> Series:
    """A step line of the best result within each amount of memory."""
    x = [p.memory.mean for p in front for _ in range(2)][1:]
    y = [p.result.mean for p in front for _ in range(2)][:-1]
    return Series(x, y, joined="line", dash="dashed", width=1.5)


def pareto(points: Sequence[Point], better: int = 1) -> list[Point]:
    """The Pareto front, ordered by memory: the points to which no other point is at least as good
    in both; among equal points the first.

    better  1 if more of the result is better, -1 if less is
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.memory.mean, -better * p.result.mean)):
        if not front or better * point.result.mean > better * front[-1].result.mean:
            front.append(point)
    return front


def _marks(points: list[Point], metric: Metric, slowest: float, ahead: bool) -> Series:
    """A series of cells in one style, with their error bars."""
    x, y = [p.memory.mean for p in points], [p.result.mean for p in points]
    across, up = (
        [0.0 if math.isnan(s.sd) else s.sd for s in spreads]
        for spreads in ([p.memory for p in points], [p.result for p in points])
    )
    shares = [p.epoch.mean / slowest if p.epoch.n and slowest > 0 else 0.0 for p in points]
    return Series(
        x, y, points[0].tone, points[0].shape, ahead=ahead,
        sizes=[SMALLEST + (LARGEST - SMALLEST) * math.sqrt(share) for share in shares],
        low=[a - b for a, b in zip(y, up)], high=[a + b for a, b in zip(y, up)],
        left=[max(a - b, a / 1000) for a, b in zip(x, across)],
        right=[a + b for a, b in zip(x, across)],
        hover={
            **{name: [p.words[at] for p in points]
               for at, name in enumerate(("setting", "topology", "backend"))},
            result_words(metric)[0]: [in_unit(metric, p.result) for p in points],
            "net peak": [size(p.memory) for p in points],
            "an epoch": [seconds(p.epoch) for p in points],
            "seeds": [str(p.result.n) for p in points],
            "Pareto front": ["yes" if ahead else "no"] * len(points),
        },
    )  # fmt: skip
