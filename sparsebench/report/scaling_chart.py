"""The chart of time and memory against connections, with power laws and trials that exceeded a
limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sparsebench.analysis.fits import SIZES, laws
from sparsebench.analysis.number_format import count, fixed, in_unit, one, size
from sparsebench.analysis.report_data import CELL, SIZE, ReportData, groups, trials_of
from sparsebench.analysis.statistics import Spread
from sparsebench.core.status import Status
from sparsebench.report.chart_encoding import distinctions
from sparsebench.report.chart_style import names_of
from sparsebench.report.document import Axis, Chart, Panel, Series
from sparsebench.store.record import Record

PANELS = (("epoch_seconds", "time per epoch"), ("net_peak_bytes", "net peak memory"))

LIMITS = {"epoch_seconds": Status.TIMEOUT, "net_peak_bytes": Status.OUT_OF_MEMORY}
"""The status of a trial that exceeded the limit of time, or that of memory."""

LEAST_SPAN = 4.0
"""There is no chart if the largest size is less than this many times the smallest."""

FLOAT = 4
"""Bytes of a dense weight."""

EDGE = 1.6
"""The arrow of a trial whose bound or size is not known stands at this factor times the largest
known bound or size."""

CAPTION = (
    "Both axes are logarithmic; points are means over seeds, bars one standard deviation, thin "
    'lines the laws of the table "Growth with size". Arrows: trials that ended at a limit, '
    "in the panel of that limit, from the bound that they passed, or at the edge where none is "
    "known; they are not fitted. In the panel of memory, dotted: the weights of the dense network "
    "of that size alone, 4 bytes each, and across, the memory limit."
)


@dataclass(frozen=True)
class Censored:
    """A trial that exceeded a limit: its number of connections, and a lower bound of the measure,
    each None if not known."""

    topology: str
    backend: str
    connections: float | None
    bound: float | None
    status: str


def scaling(report_data: ReportData) -> Chart | None:
    """A panel for time and one for memory, each with a line through trials that differ only in
    size. None unless the sizes of a line span a factor of `LEAST_SPAN`."""
    by_backend = report_data.frame["backend_label"].nunique() > 1
    distinct = distinctions(report_data, *SIZE, panel="", color="backend" if by_backend else "")
    columns = {str(name): distinct[name] for name in distinct}
    report_data = replace(report_data, frame=report_data.frame.assign(**columns))
    frame = report_data.frame
    named = frame.assign(named=[trial.dataset.get("name", "") for trial in trials_of(report_data)])
    sizes = [part[SIZES].dropna() for _, part in groups(named[named["ok"]], ["line", "named"])]
    if not any(n.nunique() > 1 and n.max() >= LEAST_SPAN * n.min() > 0 for n in sizes):
        return None
    looks = {
        (topology, backend): (tone, shape)
        for topology, backend, tone, shape in frame[[*CELL[1:], "tone", "shape"]].itertuples(False)
    }

    def look(topology: str, backend: str) -> dict[str, Any]:
        tone, shape = looks[topology, backend]
        return {"toned": tone, "shaped": shape}

    found, panels = list(laws(report_data)), []
    for measure, title in PANELS:
        series = [*_points(report_data, measure)]
        for law in found:
            if law.metric.name == measure:
                low, high = law.fit.exponent_interval
                exponent = fixed(law.fit.exponent, 2)
                known = "" if math.isnan(low) else f" ({fixed(low, 2)} to {fixed(high, 2)})"
                x = np.geomspace(law.fit.least[0], law.fit.most[0], 20)
                words = {"topology": law.topology, "backend": law.backend,
                         "grows as": f"connections^{exponent}{known}"}  # fmt: skip
                series.append(Series(
                    x.tolist(), law.fit.at(x).tolist(), joined="line",
                    dash="solid", width=1.0, hover={k: [v] * x.size for k, v in words.items()},
                    **look(law.topology, law.backend),
                ))  # fmt: skip
        series += _arrows(report_data, measure, look)
        rule = None
        if measure == "net_peak_bytes":
            series += _dense(report_data)
            limit, *others = {record.trial.memory_limit for record in report_data.records}
            rule = float(limit) if limit and not others else None
        kind = report_data.metrics[measure].unit
        y_axis = Axis(title, "bytes" if kind == "bytes" else "seconds", log=True)
        panels.append(
            Panel(title, Axis("connections", "count", log=True), y_axis, series, 380, rule)
        )
    return Chart("scaling", "Time and memory by size", CAPTION, panels, *names_of(frame, panels))


def _points(report_data: ReportData, measure: str) -> Iterator[Series]:
    """Yield lines, each through the cells (trials that differ only in seed and fold) of networks
    that differ only in size, from small to large."""
    for (tone, shape, _), part in groups(report_data.ok, ["tone", "shape", "line"]):
        rows = []
        for _, cell in groups(part, ["cell"]):
            x, y = Spread.of(cell[SIZES]), Spread.of(cell[measure])
            if x.n and y.n and x.mean > 0 and y.mean > 0:
                sd = 0.0 if math.isnan(y.sd) else min(y.sd, 0.99 * y.mean)
                shown = in_unit(report_data.metrics[measure], y)
                labels = [str(cell[name].iloc[0]) or "–" for name in CELL]
                rows.append((x.mean, y.mean, sd, [*labels, count(x.mean), shown, str(y.n)]))
        rows.sort(key=lambda row: row[0])
        names = ("setting", "topology", "backend", "connections", "measured", "seeds")
        if rows:
            yield Series(
                [x for x, *_ in rows], [y for _, y, *_ in rows], str(tone), str(shape), "line",
                sizes=[9.0] * len(rows), low=[y - sd for _, y, sd, _ in rows],
                high=[y + sd for _, y, sd, _ in rows],
                hover={name: [row[3][i] for row in rows] for i, name in enumerate(names)},
            )  # fmt: skip


def _arrows(report_data: ReportData, measure: str, look: Callable[..., Any]) -> Iterator[Series]:
    """Yield arrows for trials that exceeded the limit of this measure; trials that would look the
    same share one."""
    met = list(
        dict.fromkeys(c for c in censored(report_data, measure) if c.status == LIMITS[measure])
    )
    if not met:
        return
    sizes, tops = report_data.ok[SIZES].dropna(), report_data.ok[measure].dropna()
    right = EDGE * max([float(sizes.max()), *(c.connections or 0.0 for c in met)])
    top = EDGE * max([float(tops.max()) if len(tops) else 1.0, *(c.bound or 0.0 for c in met)])
    for c in met:
        bound = in_unit(report_data.metrics[measure], one(c.bound)) if c.bound else ""
        words = {
            "ended": c.status, "topology": c.topology, "backend": c.backend,
            "connections": count(c.connections) if c.connections else "not known",
            "bound": f"more than {bound}" if bound else "not known",
        }  # fmt: skip
        yield Series(
            [c.connections or right], [c.bound or top], arrow=True,
            hover={name: [text] for name, text in words.items()}, **look(c.topology, c.backend),
        )  # fmt: skip


def _dense(report_data: ReportData) -> Iterator[Series]:
    """Yield the line for the memory of the weights of dense networks of these sizes."""
    for topology, part in groups(report_data.frame, ["topology_label"]):
        known = part[[SIZES, "dense_connections"]].dropna().drop_duplicates().sort_values(SIZES)
        x, y = known[SIZES].tolist(), (known["dense_connections"] * FLOAT).tolist()
        hover = {"dense weights alone": [size(one(value)) for value in y],
                 "as large as": [topology] * len(x),
                 "connections": [count(n) for n in x]}  # fmt: skip
        yield Series(x, y, joined="line", dash="dotted", hover=hover)


def censored(report_data: ReportData, measure: str) -> Iterator[Censored]:
    """Yield the trials that ran out of memory or time, with the lower bound of `measure` that
    follows.

    A timeout bounds the time per epoch from below by timeout / epochs; a memory limit bounds the
    memory. A timeout gives no bound on memory, and a memory limit none on time.
    """
    frame = report_data.frame
    for (_, row), record in zip(frame.iterrows(), report_data.records_of(frame)):
        trial, bound = record.trial, None
        if record.status not in (Status.OUT_OF_MEMORY, Status.TIMEOUT):
            continue
        if measure == "epoch_seconds" and record.status == Status.TIMEOUT and trial.timeout:
            bound = trial.timeout / trial.epochs
        if measure == "net_peak_bytes" and record.status == Status.OUT_OF_MEMORY:
            bound = memory_refused(record)
        yield Censored(
            row["topology_label"], row["backend_label"], _size(frame, row), bound, row["status"]
        )


def memory_refused(record: Record) -> float | None:
    """A lower bound in bytes on the network's memory: the memory limit minus what the process held
    before it built the network. The measured peak is no good bound, because an allocation is
    refused as a whole; it is used only without a limit. None if neither is known."""
    peak, net = (record.measures.get(name) for name in ("peak_rss_bytes", "net_peak_bytes"))
    if record.trial.memory_limit is None:
        return float(net or peak or 0) or None
    before = peak - net if peak and net else 0
    return float(max(record.trial.memory_limit - before, net or 0))


def _size(frame: pd.DataFrame, row: pd.Series) -> float | None:
    """The trial's number of connections at the start. If it is unknown, that of a trial with the
    same setting and topology, which starts with the same number, or else with the same setting."""
    if row[SIZES] > 0:
        return float(row[SIZES])
    alike = frame[(frame["setting"] == row["setting"]) & (frame[SIZES] > 0)]
    same = alike[alike["topology_label"] == row["topology_label"]]
    found = (same if len(same) else alike)[SIZES]
    return float(found.median()) if len(found) else None
