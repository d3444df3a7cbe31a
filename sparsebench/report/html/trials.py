"""Every trial as a row, to be searched."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import in_unit, one
from sparsebench.core.metric import Metric
from sparsebench.report.html.grids import Cell, Grid

MOST = 3000
"""Rows: more are in the export."""

NUMBERS = (
    "epoch_seconds", "wall_seconds", "net_peak_bytes", "stored_bytes",
    "connections",
)  # fmt: skip


def trials(evidence: Evidence) -> tuple[Grid, int]:
    """At most `MOST` rows in the order of the plan; and how many more there are."""
    frame = evidence.frame
    results = [name for name in dict.fromkeys(frame["primary"]) if name in frame]
    used = [evidence.metrics[name] for name in (*results, *NUMBERS) if frame[name].notna().any()]
    words = ["setting"] if evidence.varied else []
    words += ["topology_label", "backend_label"]
    names = [name.removesuffix("_label") for name in words]
    header = [Cell(Markup.escape(name)) for name in (*names, "seed", "status")]
    header += [Cell(Markup.escape(metric.heading), kind="number") for metric in used]
    header.append(Cell(Markup("trial")))
    rows = [
        [
            *(Cell(Markup.escape(row[name])) for name in words),
            Cell(Markup.escape(row["seed"]), repr(float(row["seed"])), "number"),
            Cell(Markup.escape(" ".join(filter(None, [row["status"], _cause(row)])))),
            *(_number(row[metric.name], metric) for metric in used),
            Cell(Markup("<code>{}</code>").format(row["trial"])),
        ]
        for _, row in frame.head(MOST).iterrows()
    ]
    return Grid("All trials", header, rows), max(0, len(frame) - MOST)


def _cause(row: pd.Series) -> str:
    return f"({row['cause']})" if row["cause"] else ""


def _number(value: float, metric: Metric) -> Cell:
    if value is None or math.isnan(value):
        return Cell(Markup("–"), kind="number")
    shown = in_unit(metric, one(float(value)))
    return Cell(Markup.escape(shown), repr(float(value)), "number")
