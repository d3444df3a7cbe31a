"""Time and memory against connections, both logarithmic: points, power laws, limits."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Span

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import Spread, count, fixed, in_unit, one, size
from sparsebench.report.fit_tables import SIZES, Law, laws
from sparsebench.report.html.charts.canvas import (
    GREY,
    Chart,
    Looks,
    Panel,
    add_hover,
    byte_axis,
    count_axis,
    new_figure,
    second_axis,
)
from sparsebench.report.plots import sizes_vary
from sparsebench.report.scaling import PANELS, Censored, censored

FLOAT = 4
"""Bytes of a dense weight."""

EDGE = 1.6
"""Factor past the largest known number at which arrows without a bound stand."""

CAPTION = (
    "Both axes are logarithmic; points are means over seeds, bars one standard deviation, thin "
    'lines the power laws of the table "Growth with size". Arrows: trials that ended at a limit, '
    "from the bound that they passed, or at the edge where no bound is known; they are not "
    "fitted. In the panel of memory, dotted: the weights of the dense network of that size alone, "
    "4 bytes each, and across, the memory limit."
)
NAMES = [("topology", "@topology"), ("backend", "@backend")]
POINTS = [("setting", "@setting"), *NAMES, ("connections", "@size"), ("measured", "@shown"),
          ("seeds", "@n")]  # fmt: skip
LAWS = [*NAMES, ("grows as", "@law")]
ENDED = [("ended", "@status"), *NAMES, ("connections", "@size"), ("bound", "@bound")]
DENSE = [("dense weights alone", "@shown"), ("as large as", "@topology"),
         ("connections", "@size")]  # fmt: skip


def chart(evidence: Evidence) -> Chart | None:
    """A panel for time and one for memory; None unless the connections of one line vary."""
    if not sizes_vary(evidence.ok):
        return None
    backends, topologies = (
        list(dict.fromkeys(evidence.frame[key])) for key in ("backend_label", "topology_label")
    )
    by_backend = len(backends) > 1
    toned, shaped = (backends, topologies) if by_backend else (topologies, backends)
    looks = Looks.of(toned, shaped if len(shaped) > 1 else toned)
    found = list(laws(evidence))
    panels = []
    for measure, title in PANELS:
        made = new_figure(380, x_axis_type="log", y_axis_type="log")
        count_axis(made.xaxis[0])
        made.xaxis[0].axis_label, made.yaxis[0].axis_label = "connections", title
        look = partial(_look, looks, by_backend)
        _points(made, evidence, measure, look)
        _laws(made, [law for law in found if law.metric.name == measure], look)
        _arrows(made, evidence, measure, look)
        if measure == "net_peak_bytes":
            byte_axis(made.yaxis[0], log=True)
            _dense(made, evidence)
        else:
            second_axis(made.yaxis[0])
        panels.append(Panel(title, made))
    return Chart("Time and memory by size", CAPTION, panels, looks.keys(lines=True))


def _look(looks: Looks, by_backend: bool, topology: str, backend: str) -> tuple[Any, str, str]:
    """Colour and tags, marker, and line style of a topology on a backend."""
    toned, shaped = (backend, topology) if by_backend else (topology, backend)
    shaped = shaped if shaped in looks.shaped else toned
    colored = {"color": looks.tone(toned), "tags": looks.tags(toned, shaped)}
    return colored, looks.shape(shaped), looks.line(shaped)


def _points(made: Any, evidence: Evidence, measure: str, look: Any) -> None:
    """A line per topology and backend through its settings, by size."""
    marks = []
    for (topology, backend), part in groups(evidence.ok, CELL[1:]):
        rows = []
        for setting, cell in groups(part, ["setting"]):
            x, y = Spread.of(cell[SIZES]), Spread.of(cell[measure])
            if x.n and y.n and x.mean > 0 and y.mean > 0:
                sd = 0.0 if math.isnan(y.sd) else min(y.sd, 0.99 * y.mean)
                rows.append({
                    "x": x.mean, "y": y.mean, "low": y.mean - sd, "high": y.mean + sd,
                    "setting": setting or "–", "topology": topology, "backend": backend,
                    "size": count(x.mean), "shown": in_unit(evidence.metrics[measure], y), "n": y.n,
                })  # fmt: skip
        if rows:
            rows.sort(key=lambda row: float(row["x"]))
            colored, marker, dash = look(topology, backend)
            source = ColumnDataSource({name: [row[name] for row in rows] for name in rows[0]})
            made.segment("x", "low", "x", "high", source=source, **colored)
            made.line("x", "y", source=source, width=2, line_dash=dash, **colored)
            marks.append(made.scatter("x", "y", source=source, size=9, marker=marker, **colored))
    add_hover(made, marks, POINTS)


def _laws(made: Any, found: list[Law], look: Any) -> None:
    lines = []
    for law in found:
        fit = law.fit
        low, high = fit.exponent_interval
        known = "" if math.isnan(low) else f" ({fixed(low, 2)} to {fixed(high, 2)})"
        x = np.geomspace(fit.least[0], fit.most[0], 20)
        source = ColumnDataSource({
            "x": x, "y": fit.factor * x**fit.exponent,
            "topology": [law.topology] * x.size, "backend": [law.backend] * x.size,
            "law": [f"connections^{fixed(fit.exponent, 2)}{known}"] * x.size,
        })  # fmt: skip
        colored = look(law.topology, law.backend)[0]
        lines.append(made.line("x", "y", source=source, width=1, alpha=0.7, **colored))
    if lines:
        add_hover(made, lines, LAWS)


def _arrows(made: Any, evidence: Evidence, measure: str, look: Any) -> None:
    """Trials that ended at a limit; those that would be drawn alike are one arrow."""
    met: list[Censored] = list(dict.fromkeys(censored(evidence, measure)))
    sizes, tops = evidence.ok[SIZES].dropna(), evidence.ok[measure].dropna()
    right = EDGE * max([float(sizes.max()), *(c.connections or 0.0 for c in met)])
    top = EDGE * max([float(tops.max()) if len(tops) else 1.0, *(c.bound or 0.0 for c in met)])
    heads = []
    for c in met:
        x, y = c.connections or right, c.bound or top
        shown = in_unit(evidence.metrics[measure], one(c.bound)) if c.bound else ""
        source = ColumnDataSource({
            "x": [x], "y": [y], "head": [1.5 * y], "status": [c.status], "topology": [c.topology],
            "backend": [c.backend], "bound": [f"more than {shown}" if c.bound else "not known"],
            "size": [count(c.connections) if c.connections else "not known"],
        })  # fmt: skip
        colored = look(c.topology, c.backend)[0]
        made.segment("x", "y", "x", "head", source=source, width=2, **colored)
        made.scatter("x", "y", source=source, marker="dash", size=12, width=2, **colored)
        heads.append(
            made.scatter("x", "head", source=source, marker="triangle", size=11, **colored)
        )
    if heads:
        add_hover(made, heads, ENDED)


def _dense(made: Any, evidence: Evidence) -> None:
    """The weights of the dense networks, and the memory limit where all trials have the same."""
    lines = []
    for topology, part in groups(evidence.frame, ["topology_label"]):
        known = part[[SIZES, "dense_connections"]].dropna().drop_duplicates().sort_values(SIZES)
        x, y = known[SIZES].tolist(), (known["dense_connections"] * FLOAT).tolist()
        source = ColumnDataSource({
            "x": x, "y": y, "topology": [topology] * len(x), "size": [count(n) for n in x],
            "shown": [size(one(value)) for value in y],
        })  # fmt: skip
        look = {"line_dash": "dotted", "width": 2, "color": GREY, "tags": ["ink"]}
        lines.append(made.line("x", "y", source=source, **look))
    add_hover(made, lines, DENSE)
    limit, *others = {record.trial.memory_limit for record in evidence.records}
    if limit and not others:
        made.add_layout(
            Span(location=float(limit), dimension="width", line_dash="dotted",
                 line_color=GREY, line_width=1.5, tags=["ink"])
        )  # fmt: skip
