"""The chart of a sweep, a search over several parameters."""

from __future__ import annotations

from dataclasses import replace

from sparsebench.analysis.number_format import (
    in_unit,
    join,
    one,
    upper_first,
)
from sparsebench.analysis.report_data import CELL, ReportData, groups
from sparsebench.analysis.statistics import Spread
from sparsebench.report.chart_encoding import SIZE, parameter_keys
from sparsebench.report.chart_style import (
    MARK,
    result_axis,
)
from sparsebench.report.document import MOST_PANELS, Chart, Panel, Series
from sparsebench.report.line_chart import column

TRIED = ("topology", "model", "optimizer", "schedule", "batch_size", "epochs", "objective")
"""Parts of a trial whose parameters a sweep may vary."""

CELLS = "cells"


def sweep(report_data: ReportData) -> Chart | None:
    """The primary metric against each parameter that varies, with a mark per cell (the trials that
    differ only in seed and fold) and a line through the best cell at each value. None unless at
    least two parameters with numbers vary, on a single data set."""
    judged = report_data.of_primary
    metric, ok = judged.primary, replace(judged, frame=judged.ok)
    if metric.name not in ok.frame or ok.frame["dataset"].nunique() != 1:
        return None
    tried = [
        key
        for key in parameter_keys(ok)
        if key.partition(".")[0] in TRIED and key != SIZE and not column(ok, key).names
    ]
    panels = []
    for key in tried[:MOST_PANELS]:
        across = column(ok, key)
        frame = ok.frame.assign(x=across.values).dropna(subset=["x", metric.name])
        cells = [
            (float(cell["x"].iloc[0]), Spread.of(cell[metric.name]),
             join(*(cell[name].iloc[0] for name in CELL)))
            for _, cell in groups(frame, ["cell"])
        ]  # fmt: skip
        best: dict[float, float] = {}
        for x, y, _ in sorted(cells, key=lambda cell: metric.better * cell[1].mean):
            best[x] = y.mean
        if len(best) < 2:
            continue
        marks = Series(
            [x for x, _, _ in cells], [y.mean for _, y, _ in cells], CELLS, CELLS,
            sizes=[MARK] * len(cells),
            hover={
                "cell": [words for _, _, words in cells],
                across.heading: [across.words(one(x)) for x, _, _ in cells],
                metric.heading: [in_unit(metric, y) for _, y, _ in cells],
                "seeds": [str(y.n) for _, y, _ in cells],
            },
        )  # fmt: skip
        ordered = sorted(best)
        front = Series(ordered, [best[x] for x in ordered], joined="line", dash="solid", width=1.5)
        panels.append(Panel(across.heading, across.axis(ordered, None), result_axis(metric),
                            [front, marks], 300))  # fmt: skip
    if len(panels) < 2:
        return None
    return Chart(
        "sweep", f"{upper_first(metric.heading)} by each parameter",
        "A mark is a cell, the mean over its seeds, in every panel; the line joins the best that "
        "any cell reached at each value.",
        panels, [CELLS], [CELLS],
    )  # fmt: skip
