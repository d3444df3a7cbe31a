"""Where the seconds of a trial go: a bar per cell, a piece per phase of its process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from bokeh.models import ColumnDataSource

from sparsebench.analysis.evidence import CELL, Evidence
from sparsebench.analysis.formats import one, seconds
from sparsebench.analysis.groups import groups
from sparsebench.report.html.charts.canvas import (
    GREY,
    TONES,
    Chart,
    Key,
    Panel,
    add_hover,
    new_figure,
    second_axis,
)
from sparsebench.report.plots import plain

PHASES = ("import", "data", "warmup", "build", "train", "topology", "eval")
"""In the order of a trial; others that a record has follow."""

WORDS = {
    "import": "imports",
    "data": "loading data",
    "warmup": "warm-up (compilation)",
    "build": "building",
    "train": "training",
    "topology": "topology updates",
    "eval": "evaluation",
}
PATTERNS = (" ", "/", ".", "x", "-", "|", "\\", "o")
"""Bokeh's hatches, so that pieces are told apart without colour."""

MOST_BARS = 24
THICK, ROOM = 0.42, 38
"""Of a bar, of its row; pixels of a row."""

CAPTION = (
    "Seconds by phase, means over the seeds of a cell: what the worker measured, so starting the "
    "process is not in it. Time and memory in the tables leave out imports, data and compilation."
)
TOOLTIPS = [("cell", "@label"), ("phase", "@phase"), ("takes", "@shown"), ("of the bar", "@share")]


def chart(evidence: Evidence) -> Chart | None:
    """None where no trial that finished has phases."""
    cells = [
        (", ".join(filter(None, map(str, reversed(labels)))), mean_phases(evidence, cell))
        for labels, cell in groups(evidence.ok, CELL)
    ]
    cells = [(label, phases) for label, phases in cells if phases]
    if not cells:
        return None
    shown = cells[:MOST_BARS]
    names = [*PHASES, *dict.fromkeys(p for _, ps in shown for p in ps if p not in PHASES)]
    names = [name for name in names if any(name in phases for _, phases in shown)]
    notes = [f"The first {MOST_BARS} of {len(cells)} cells."] if len(cells) > MOST_BARS else []
    panel = Panel("", _figure(shown, names))
    keys = [Key(WORDS.get(n, n), f"phase{i}", _tone(i), shape="■") for i, n in enumerate(names)]
    return Chart("Time by phase", CAPTION, [panel], [keys], notes)


def mean_phases(evidence: Evidence, cell: pd.DataFrame) -> dict[str, float]:
    """Seconds by phase, over the trials that have it."""
    found: dict[str, list[float]] = {}
    for i in cell.index:
        for name, phase in evidence.records[int(str(i))].phases.items():
            spent = float(phase.get("seconds", math.nan))
            if math.isfinite(spent):
                found.setdefault(name, []).append(spent)
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def _figure(cells: Sequence[tuple[str, dict[str, float]]], names: Sequence[str]) -> Any:
    made = new_figure(60 + ROOM * len(cells), y_range=(len(cells) - 0.4, -0.75))
    made.x_range.start = 0
    second_axis(made.xaxis[0])
    made.yaxis.visible = False
    made.ygrid.visible = False
    left = [0.0] * len(cells)
    bars = []
    for i, name in enumerate(names):
        spent = [phases.get(name, 0.0) for _, phases in cells]
        bars.append(_pieces(made, cells, name, i, left, spent))
        left = [a + b for a, b in zip(left, spent)]
    add_hover(made, bars, TOOLTIPS)
    made.text(
        [0.0] * len(cells), [y - 0.28 for y in range(len(cells))],
        text=[plain(label, 90).replace("\\$", "$") for label, _ in cells], text_baseline="bottom",
        text_font_size="12px", text_color=GREY, tags=["ink"],
    )  # fmt: skip
    return made


def _pieces(
    made: Any,
    cells: Sequence[tuple[str, dict[str, float]]],
    name: str,
    at: int,
    left: list[float],
    spent: list[float],
) -> Any:
    totals = [math.fsum(phases.values()) for _, phases in cells]
    source = ColumnDataSource(
        {
            "y": list(range(len(cells))), "left": left,
            "right": [a + b for a, b in zip(left, spent)],
            "label": [label for label, _ in cells],
            "phase": [WORDS.get(name, name)] * len(cells),
            "shown": [seconds(one(value)) for value in spent],
            "share": [f"{100 * s / t:.1f} %" if t else "–" for s, t in zip(spent, totals)],
        }
    )  # fmt: skip
    return made.hbar(
        y="y", left="left", right="right", height=THICK, source=source, color=_tone(at),
        line_color=None, hatch_pattern=PATTERNS[at % len(PATTERNS)], hatch_color="white",
        hatch_alpha=0.55, hatch_weight=1, hatch_scale=8, tags=[f"phase{at}"],
    )  # fmt: skip


def _tone(at: int) -> str:
    return TONES[at % len(TONES)]
