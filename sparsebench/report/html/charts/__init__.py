"""The interactive charts of a report, drawn by Bokeh: a file per question."""

from __future__ import annotations

from sparsebench.analysis.evidence import Evidence
from sparsebench.report.html.charts import curves, degrees, growth, trade_off
from sparsebench.report.html.charts.canvas import Chart


def charts(evidence: Evidence) -> list[Chart]:
    """The charts that these trials have something to show in."""
    drawn = [one.chart(evidence) for one in (trade_off, curves, growth, degrees)]
    return [chart for chart in drawn if chart is not None]
