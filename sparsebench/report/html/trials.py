"""Every trial as a row, to be searched."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
from markupsafe import Markup

from sparsebench.analysis.evidence import Evidence
from sparsebench.analysis.formats import Spread, count, one, percent, seconds, size
from sparsebench.report.html.grids import Cell, Grid

MOST = 3000
"""Rows: more are in the export."""

COLUMNS: tuple[tuple[str, str, Callable[[Spread], str]], ...] = (
    ("test accuracy", "test_accuracy", percent),
    ("epoch", "epoch_seconds", seconds),
    ("whole trial", "wall_seconds", seconds),
    ("net peak", "net_peak_bytes", size),
    ("stored", "stored_bytes", size),
    ("connections", "connections", lambda value: count(value.mean)),
)


def trials(evidence: Evidence) -> tuple[Grid, int]:
    """At most `MOST` rows in the order of the plan; and how many more there are."""
    frame = evidence.frame
    used = [column for column in COLUMNS if frame[column[1]].notna().any()]
    words = ["setting"] if evidence.varied else []
    words += ["topology_label", "backend_label"]
    names = [name.removesuffix("_label") for name in words]
    header = [Cell(Markup.escape(name)) for name in (*names, "seed", "status")]
    header += [Cell(Markup.escape(title), kind="number") for title, *_ in used]
    header.append(Cell(Markup("trial")))
    rows = [
        [
            *(Cell(Markup.escape(row[name])) for name in words),
            Cell(Markup.escape(row["seed"]), repr(float(row["seed"])), "number"),
            Cell(Markup.escape(" ".join(filter(None, [row["status"], _cause(row)])))),
            *(_number(row[name], show) for _, name, show in used),
            Cell(Markup("<code>{}</code>").format(row["trial"])),
        ]
        for _, row in frame.head(MOST).iterrows()
    ]
    return Grid("All trials", header, rows), max(0, len(frame) - MOST)


def _cause(row: pd.Series) -> str:
    return f"({row['cause']})" if row["cause"] else ""


def _number(value: float, show: Callable[[Spread], str]) -> Cell:
    if value is None or math.isnan(value):
        return Cell(Markup("–"), kind="number")
    return Cell(Markup.escape(show(one(float(value)))), repr(float(value)), "number")
