"""Learning curves: mean of the primary metric by epoch, its spread over seeds as a band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import BasicTicker, ColumnDataSource

from sparsebench.analysis.evidence import Evidence, groups
from sparsebench.analysis.formats import Spread, in_unit, result_words, upper_first
from sparsebench.core.metric import Metric
from sparsebench.report.html.charts.canvas import (
    MOST_PANELS,
    Chart,
    Looks,
    Panel,
    add_hover,
    new_figure,
    share_axis,
)
from sparsebench.report.plots import result_by_epoch

MOST_POINTS = 200
"""Of a curve; longer ones are thinned evenly, and keep the last epoch."""

FEW_POINTS = 12
"""Of a curve whose points are marked; points of longer ones show when hovered over."""

CAPTION = "Line: mean over seeds; band: one standard deviation."


def chart(evidence: Evidence) -> Chart | None:
    """A panel per setting and backend; None where nothing has two epochs."""
    curves, metric = result_by_epoch(evidence), evidence.primary
    if curves.empty or curves["epoch"].nunique() < 2:
        return None
    topologies = list(dict.fromkeys(curves["topology_label"]))
    looks = Looks.of(topologies, topologies)
    parts = list(groups(curves, ["setting", "backend_label"]))
    low, high = _extent(curves)
    panels = []
    for (setting, backend), part in parts[:MOST_PANELS]:
        made = new_figure(300, y_range=(low, high))
        if metric.unit == "fraction":
            share_axis(made.yaxis[0])
        made.xaxis[0].ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
        made.xaxis[0].axis_label, made.yaxis[0].axis_label = "epoch", metric.heading
        lines = [
            _curve(made, name, one, looks, metric) for name, one in groups(part, ["topology_label"])
        ]
        tooltips = [("topology", "@topology"), ("epoch", "@epoch")]
        add_hover(
            made, lines, [*tooltips, (result_words(metric)[0].lower(), "@shown"), ("seeds", "@n")]
        )
        panels.append(Panel(", ".join(filter(None, (setting, backend))), made))
    notes = [f"The first {MOST_PANELS} of {len(parts)} panels."] if len(parts) > MOST_PANELS else []
    return Chart(
        f"{upper_first(metric.heading)} by epoch", CAPTION, panels, looks.keys(lines=True), notes
    )


def _extent(curves: pd.DataFrame) -> tuple[float, float]:
    """One range for all panels, so that they can be compared."""
    known = curves["value"].replace([math.inf, -math.inf], math.nan).dropna()
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _curve(made: Any, name: str, part: pd.DataFrame, looks: Looks, metric: Metric) -> Any:
    """A band, the line over it, and marks to hover over."""
    spreads = [(epoch, Spread.of(seeds["value"])) for epoch, seeds in part.groupby("epoch")]
    step = math.ceil(len(spreads) / MOST_POINTS)
    kept = spreads[:-1:step] + spreads[-1:]
    mean = np.array([s.mean for _, s in kept], dtype=np.float32)
    sd = np.nan_to_num(np.array([s.sd for _, s in kept], dtype=np.float32))
    source = ColumnDataSource(
        {
            "epoch": np.array([epoch for epoch, _ in kept], dtype=np.int32), "mean": mean,
            "low": mean - sd, "high": mean + sd, "topology": [name] * len(kept),
            "shown": [in_unit(metric, s) for _, s in kept],
            "n": np.array([s.n for _, s in kept], dtype=np.int32),
        }
    )  # fmt: skip
    tags, tone = looks.tags(name, name), looks.tone(name)
    if any(s.n > 1 for _, s in kept):
        made.varea("epoch", "low", "high", source=source, color=tone, alpha=0.18, tags=tags)
    made.line(
        "epoch", "mean", source=source, color=tone, width=2, line_dash=looks.line(name), tags=tags
    )
    return made.scatter(
        "epoch", "mean", source=source, color=tone, marker=looks.shape(name), size=6, tags=tags,
        alpha=1.0 if len(kept) <= FEW_POINTS else 0.0, hover_alpha=1.0,
    )  # fmt: skip
