"""Time and memory against connections, both logarithmic: points, laws, limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Span

from sparsebench.analysis.evidence import CELL, Evidence
from sparsebench.analysis.formats import Spread, count, fixed, one, seconds, size
from sparsebench.analysis.groups import groups
from sparsebench.report.fit_tables import SIZES, Law, laws
from sparsebench.report.html.charts.canvas import (
    GREY,
    Chart,
    Panel,
    add_hover,
    byte_axis,
    count_axis,
    new_figure,
    second_axis,
)
from sparsebench.report.html.charts.looks import Looks
from sparsebench.report.plots import sizes_vary
from sparsebench.report.scaling import PANELS, Censored, censored

FLOAT = 4
"""Bytes of a dense weight."""

EDGE = 1.6
"""Past the largest number that is known, as a factor: where arrows without a bound stand."""

CAPTION = (
    "Both axes are logarithmic; points are means over seeds, bars one standard deviation, thin "
    'lines the power laws of the table "Growth with size". Arrows: trials that ended at a limit, '
    "from the bound that they passed, or at the edge where no bound is known; they are not "
    "fitted. In the panel of memory, dotted: what the weights of the dense network of that size "
    "would take alone, 4 bytes each, and across, the memory limit."
)
POINTS = [("setting", "@setting"), ("topology", "@topology"), ("backend", "@backend"),
          ("connections", "@size"), ("measured", "@shown"), ("seeds", "@n")]  # fmt: skip
LAWS = [("topology", "@topology"), ("backend", "@backend"), ("grows as", "@law")]
ENDED = [("ended", "@status"), ("topology", "@topology"), ("backend", "@backend"),
         ("connections", "@size"), ("bound", "@bound")]  # fmt: skip
DENSE = [("dense weights alone", "@shown"), ("as large as", "@topology"),
         ("connections", "@size")]  # fmt: skip
SHOW = {"epoch_seconds": seconds, "net_peak_bytes": size}


def chart(evidence: Evidence) -> Chart | None:
    """A panel for time and one for memory; None unless the connections of one line vary."""
    if not sizes_vary(evidence.ok):
        return None
    frame = evidence.frame
    names = [list(dict.fromkeys(frame[key])) for key in ("backend_label", "topology_label")]
    by_backend = len(names[0]) > 1
    toned, shaped = names if by_backend else names[::-1]
    looks = Looks.of(toned, shaped if len(shaped) > 1 else toned)
    found = list(laws(evidence))
    panels = [
        Panel(title, _figure(evidence, measure, title, looks, by_backend, found))
        for measure, title in PANELS
    ]
    return Chart("Time and memory by size", CAPTION, panels, looks.keys(lines=True))


def _figure(
    evidence: Evidence,
    measure: str,
    title: str,
    looks: Looks,
    by_backend: bool,
    found: list[Law],
) -> Any:
    made = new_figure(380, x_axis_type="log", y_axis_type="log")
    count_axis(made.xaxis[0])
    if measure == "epoch_seconds":
        second_axis(made.yaxis[0])
    else:
        byte_axis(made.yaxis[0], log=True)
    made.xaxis[0].axis_label, made.yaxis[0].axis_label = "connections", title
    drawing = _Drawing(made, evidence, measure, looks, by_backend)
    drawing.points()
    drawing.laws([law for law in found if law.measure == measure])
    drawing.arrows(list(censored(evidence, measure)))
    if measure == "net_peak_bytes":
        drawing.dense()
    return made


class _Drawing:
    """One panel."""

    def __init__(
        self, made: Any, evidence: Evidence, measure: str, looks: Looks, by_backend: bool
    ) -> None:
        self.made, self.evidence, self.measure = made, evidence, measure
        self.looks, self.by_backend = looks, by_backend
        self.show = SHOW[measure]

    def points(self) -> None:
        marks = []
        for (topology, backend), part in groups(self.evidence.ok, CELL[1:]):
            rows = self._rows(part)
            if rows.empty:
                continue
            toned, shaped = self._order(topology, backend)
            look = {"color": self.looks.tone(toned), "tags": self.looks.tags(toned, shaped)}
            told = rows.assign(topology=topology, backend=backend)
            source = ColumnDataSource({str(name): told[name].tolist() for name in told})
            self.made.segment("x", "low", "x", "high", source=source, **look)
            self.made.line("x", "y", source=source, width=2, **look,
                           line_dash=self.looks.line(shaped))  # fmt: skip
            marks.append(self.made.scatter("x", "y", source=source, size=9, **look,
                                           marker=self.looks.shape(shaped)))  # fmt: skip
        add_hover(self.made, marks, POINTS)

    def _rows(self, part: pd.DataFrame) -> pd.DataFrame:
        """A row per setting that has both numbers, by size."""
        rows = []
        for setting, cell in groups(part, ["setting"]):
            x, y = Spread.of(cell[SIZES]), Spread.of(cell[self.measure])
            if x.n and y.n and x.mean > 0 and y.mean > 0:
                sd = 0.0 if math.isnan(y.sd) else min(y.sd, 0.99 * y.mean)
                rows.append((x.mean, y.mean, y.mean - sd, y.mean + sd, setting or "–",
                             count(x.mean), self.show(y), y.n))  # fmt: skip
        columns = ["x", "y", "low", "high", "setting", "size", "shown", "n"]
        return pd.DataFrame(rows, columns=columns).sort_values("x")

    def laws(self, found: list[Law]) -> None:
        lines = []
        for law in found:
            toned, shaped = self._order(law.topology, law.backend)
            x = np.geomspace(law.fit.least[0], law.fit.most[0], 20)
            source = ColumnDataSource({
                "x": x, "y": law.fit.factor * x**law.fit.exponent,
                "topology": [law.topology] * x.size, "backend": [law.backend] * x.size,
                "law": [_words(law)] * x.size,
            })  # fmt: skip
            lines.append(
                self.made.line("x", "y", source=source, color=self.looks.tone(toned), width=1,
                               tags=self.looks.tags(toned, shaped), alpha=0.7)
            )  # fmt: skip
        if lines:
            add_hover(self.made, lines, LAWS)

    def arrows(self, met: list[Censored]) -> None:
        """Trials that would be drawn alike are one arrow."""
        distinct = {(c.topology, c.backend, c.status, c.connections, c.bound): c for c in met}
        sizes, tops = self.evidence.ok[SIZES].dropna(), self.evidence.ok[self.measure].dropna()
        known = [c.bound for c in distinct.values() if c.bound]
        right = EDGE * max([float(sizes.max()), *(c.connections or 0.0 for c in met)])
        top = EDGE * max([float(tops.max()) if len(tops) else 1.0, *known])
        heads = [self._arrow(c, c.connections or right, c.bound or top) for c in distinct.values()]
        if heads:
            add_hover(self.made, heads, ENDED)

    def _arrow(self, c: Censored, x: float, y: float) -> Any:
        toned, shaped = self._order(c.topology, c.backend)
        look = {"color": self.looks.tone(toned), "tags": self.looks.tags(toned, shaped)}
        bound = f"more than {self.show(one(c.bound))}" if c.bound else "not known"
        source = ColumnDataSource({
            "x": [x], "y": [y], "head": [1.5 * y], "status": [c.status], "topology": [c.topology],
            "backend": [c.backend], "bound": [bound],
            "size": [count(c.connections) if c.connections else "not known"],
        })  # fmt: skip
        self.made.segment("x", "y", "x", "head", source=source, width=2, **look)
        self.made.scatter("x", "y", source=source, marker="dash", size=12, width=2, **look)
        return self.made.scatter("x", "head", source=source, marker="triangle", size=11, **look)

    def dense(self) -> None:
        """The weights of the dense networks, and the memory limit where it is one for all."""
        lines = []
        for topology, part in groups(self.evidence.frame, ["topology_label"]):
            known = part[[SIZES, "dense_connections"]].dropna().drop_duplicates().sort_values(SIZES)
            x, y = known[SIZES].tolist(), (known["dense_connections"] * FLOAT).tolist()
            source = ColumnDataSource({
                "x": x, "y": y, "topology": [topology] * len(x), "size": [count(n) for n in x],
                "shown": [size(one(value)) for value in y],
            })  # fmt: skip
            lines.append(self.made.line("x", "y", source=source, line_dash="dotted", width=2,
                                        color=GREY, tags=["ink"]))  # fmt: skip
        add_hover(self.made, lines, DENSE)
        limits = {record.trial.memory_limit for record in self.evidence.records}
        limit = next(iter(limits)) if len(limits) == 1 else None
        if limit:
            self.made.add_layout(
                Span(location=float(limit), dimension="width", line_dash="dotted",
                     line_color=GREY, line_width=1.5, tags=["ink"])
            )  # fmt: skip

    def _order(self, topology: str, backend: str) -> tuple[str, str]:
        """The one that has the tone, then the one that has the shape."""
        toned, shaped = (backend, topology) if self.by_backend else (topology, backend)
        return toned, shaped if shaped in self.looks.shaped else toned


def _words(law: Law) -> str:
    """`connections^0.98 (0.91 to 1.05)`."""
    low, high = law.fit.exponent_interval
    known = "" if math.isnan(low) else f" ({fixed(low, 2)} to {fixed(high, 2)})"
    return f"connections^{fixed(law.fit.exponent, 2)}{known}"
