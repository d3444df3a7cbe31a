"""The charts of a report as data; `png` and `html.bokeh_charts` draw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sparsebench.analysis.chance import above_chance
from sparsebench.analysis.report_data import SPARSITY, ReportData
from sparsebench.report.chart_encoding import parameter_keys
from sparsebench.report.degree_chart import degrees
from sparsebench.report.document import Chart
from sparsebench.report.learning_curves import curves, observed
from sparsebench.report.line_chart import line
from sparsebench.report.pixel_chart import pixels
from sparsebench.report.ranks import critical_differences
from sparsebench.report.scaling_chart import scaling
from sparsebench.report.sweep_chart import sweep
from sparsebench.report.trade_off_chart import trade_off

LEAST_DENSITIES = 3
"""A curve over density needs at least this many densities."""


def charts(
    report_data: ReportData, lead: str = "", requested: Mapping[str, Any] | None = None
) -> list[Chart]:
    """The charts for which these trials have data; the leading chart comes first.

    lead       the name of the leading chart
    requested  arguments of `line` for a leading chart, which raises SparsebenchError for unknown
               columns
    """
    above = above_chance(report_data)
    made = (density(above), scaling(report_data), curves(above), trade_off(above), sweep(above),
            degrees(report_data), pixels(report_data), critical_differences(above),
            *observed(report_data))  # fmt: skip
    found = [chart for chart in made if chart is not None]
    if requested and (first := line(report_data, **requested)) is not None:
        return [first, *(chart for chart in found if chart.name != first.name)]
    return sorted(found, key=lambda chart: chart.name != lead)


def density(report_data: ReportData) -> Chart | None:
    """The primary metric against density; None without three densities of one kind of network."""
    judged = report_data.of_primary
    keys = [key for key in SPARSITY if key in parameter_keys(judged)]
    if not keys or judged.primary.name not in judged.frame:
        return None
    made = line(judged, "density")
    longest = (
        max((len(s.x) for panel in made.panels for s in panel.series), default=0) if made else 0
    )
    return replace(made, name="density") if made and longest >= LEAST_DENSITIES else None
