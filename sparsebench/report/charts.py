"""The charts of a report as data; `png` and `html.bokeh_charts` draw them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sparsebench.analysis.chance import above_chance
from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import in_unit, plural, result_words, seconds, size, upper_first
from sparsebench.analysis.statistics import Spread
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.core.metric import Metric
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel, Series
from sparsebench.report.ranks import critical_differences
from sparsebench.report.scaling import scaling
from sparsebench.store.export_columns import epoch_value

SMALLEST, LARGEST = 9.0, 30.0
"""Pixels across a mark whose area is a time."""

WIDE = 8.0
"""Ratio of memory from which on its axis is logarithmic."""

MOST_POINTS = 200
"""Of a curve; longer ones are thinned evenly, and keep the last epoch."""

FEW_POINTS = 12
"""Of a curve whose points are marked; points of longer ones show when hovered over."""


def charts(evidence: Evidence) -> list[Chart]:
    """The charts that these trials have something to show in."""
    told = above_chance(evidence)
    made = [*(make(told) for make in (trade_off, curves)), scaling(evidence), degrees(evidence),
            critical_differences(told)]  # fmt: skip
    return [chart for chart in made if chart is not None]


# --- the primary metric against memory -----------------------------------------------


@dataclass(frozen=True)
class Point:
    """A cell that has both numbers."""

    setting: str
    topology: str
    backend: str
    result: Spread
    memory: Spread
    epoch: Spread


def trade_off(evidence: Evidence) -> Chart | None:
    """The primary metric against net peak memory, with time as a mark's size and the Pareto front:
    a panel per data set; None without two cells that have both numbers."""
    by_set: dict[str, list[Point]] = {}
    metric, frame = evidence.primary, evidence.of_primary.ok
    parts = groups(frame, ["dataset", *CELL]) if metric.name in frame else ()
    for (dataset, setting, topology, backend), cell in parts:
        names = (metric.name, "net_peak_bytes", "epoch_seconds")
        point = Point(setting, topology, backend, *(Spread.of(cell[name]) for name in names))
        if point.result.n and point.memory.mean > 0:
            by_set.setdefault(dataset, []).append(point)
    every = [point for points in by_set.values() for point in points]
    if len(every) < 2:
        return None
    slowest = max((p.epoch.mean for p in every if p.epoch.n), default=math.nan)
    topologies, backends = ({getattr(p, key): 0 for p in every} for key in ("topology", "backend"))
    by_topology = len(topologies) > 1
    panels = []
    for dataset, points in [*by_set.items()][:MOST_PANELS]:
        memory = [point.memory.mean for point in points]
        front = pareto(points, metric.better)
        x, y = ([getattr(p, key).mean for p in front] for key in ("memory", "result"))
        series = [Series(x, y, joined="line", dash="dashed", width=1.5)]
        alike: dict[tuple[str, str, bool], list[Point]] = {}
        for p in points:
            alike.setdefault((p.topology, p.backend, p in front), []).append(p)
        for (topology, backend, ahead), part in alike.items():
            toned = topology if by_topology else backend
            series.append(_marks(part, metric, slowest, toned, backend, ahead))
        log = max(memory) > WIDE * min(memory)
        axes = Axis("net peak memory", "bytes", log), _axis(metric)
        panels.append(Panel(dataset, *axes, series, 400))
    heading, best = result_words(metric)
    left_out = len(by_set) - len(panels)
    return Chart(
        "accuracy-memory", f"{heading} against memory",
        f"{'Up' if best == 'highest' else 'Down'} and to the left is better. A mark is a cell, the "
        "mean over its seeds; its area grows with the time per epoch, and bars show one standard "
        "deviation. The dashed line joins the Pareto front, outlined: no other cell does as well "
        "with less memory.",
        panels, list(topologies if by_topology else backends), list(backends),
        [f"The first {len(panels)} of {len(by_set)} data sets."] if left_out else [],
    )  # fmt: skip


def pareto(points: Sequence[Point], better: int = 1) -> list[Point]:
    """The Pareto front by memory: no other point is as good in both; of equals the first. `better`
    is 1 where more of the result is better, -1 where less is."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.memory.mean, -better * p.result.mean)):
        if not front or better * point.result.mean > better * front[-1].result.mean:
            front.append(point)
    return front


def _marks(
    points: list[Point], metric: Metric, slowest: float, toned: str, shaped: str, ahead: bool
) -> Series:
    """Cells that look alike, with their bars."""
    x, y = [p.memory.mean for p in points], [p.result.mean for p in points]
    across, up = (
        [0.0 if math.isnan(s.sd) else s.sd for s in spreads]
        for spreads in ([p.memory for p in points], [p.result for p in points])
    )
    shares = [p.epoch.mean / slowest if p.epoch.n and slowest > 0 else 0.0 for p in points]
    return Series(
        x, y, toned, shaped, ahead=ahead,
        sizes=[SMALLEST + (LARGEST - SMALLEST) * math.sqrt(share) for share in shares],
        low=[a - b for a, b in zip(y, up)], high=[a + b for a, b in zip(y, up)],
        left=[max(a - b, a / 1000) for a, b in zip(x, across)],
        right=[a + b for a, b in zip(x, across)],
        hover={
            result_words(metric)[0]: [in_unit(metric, p.result) for p in points],
            "setting": [p.setting or "–" for p in points],
            "topology": [p.topology for p in points], "backend": [p.backend for p in points],
            "net peak": [size(p.memory) for p in points],
            "an epoch": [seconds(p.epoch) for p in points],
            "seeds": [str(p.result.n) for p in points],
            "Pareto front": ["yes" if ahead else "no"] * len(points),
        },
    )  # fmt: skip


def _axis(metric: Metric, limits: tuple[float, float] | None = None) -> Axis:
    fraction = metric.unit == "fraction"
    return Axis(metric.heading, "fraction" if fraction else "number", limits=limits)


# --- learning curves -----------------------------------------------------------------


def curves(evidence: Evidence) -> Chart | None:
    """Mean of the primary metric by epoch, its spread over seeds as a band: a panel per setting
    and backend; None where nothing has two epochs."""
    found, metric = _by_epoch(evidence), evidence.primary
    if found.empty or found["epoch"].nunique() < 2:
        return None
    known = found["value"].replace([math.inf, -math.inf], math.nan).dropna()
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or 0.01  # one range for all panels, so that they can be compared
    y_axis = _axis(metric, (low - margin, high + margin))
    parts = list(groups(found, ["setting", "backend_label"]))
    panels = [
        Panel(
            ", ".join(filter(None, labels)), Axis("epoch", whole=True), y_axis,
            [_curve(name, one, metric) for name, one in groups(part, ["topology_label"])], 300,
        )
        for labels, part in parts[:MOST_PANELS]
    ]  # fmt: skip
    topologies = list(dict.fromkeys(found["topology_label"]))
    return Chart(
        "learning-curves", f"{upper_first(metric.heading)} by epoch",
        "Line: mean over seeds; band: one standard deviation.", panels, topologies, topologies,
        [f"The first {MOST_PANELS} of {len(parts)} panels."] if len(parts) > MOST_PANELS else [],
    )  # fmt: skip


def _by_epoch(evidence: Evidence) -> pd.DataFrame:
    """Labels, epoch and the primary metric, as `value`, of every epoch that has one."""
    name, frame = evidence.primary.name, evidence.of_primary.frame
    rows = [
        [*row, int(line["epoch"]), value]
        for i, *row in frame[CELL].itertuples()
        for line in evidence.runs[i].epochs(evidence.records[i])
        if (value := epoch_value(line, name)) is not None
    ]
    return pd.DataFrame(rows, columns=[*CELL, "epoch", "value"])


def _curve(name: str, part: pd.DataFrame, metric: Metric) -> Series:
    spreads = [(int(str(at)), Spread.of(one["value"])) for at, one in part.groupby("epoch")]
    step = math.ceil(len(spreads) / MOST_POINTS)
    kept = spreads[:-1:step] + spreads[-1:]
    sd = [0.0 if math.isnan(s.sd) else s.sd for _, s in kept]
    spread = any(s.n > 1 for _, s in kept)
    return Series(
        [epoch for epoch, _ in kept], [s.mean for _, s in kept], name, name, "line",
        sizes=[6.0] * len(kept), faint=len(kept) > FEW_POINTS, band=True,
        low=[s.mean - d for (_, s), d in zip(kept, sd)] if spread else (),
        high=[s.mean + d for (_, s), d in zip(kept, sd)] if spread else (),
        hover={
            "topology": [name] * len(kept), "epoch": [str(epoch) for epoch, _ in kept],
            result_words(metric)[0].lower(): [in_unit(metric, s) for _, s in kept],
            "seeds": [str(s.n) for _, s in kept],
        },
    )  # fmt: skip


# --- connections of the neurons ------------------------------------------------------

FILE = "model.npz"
"""In the folder of an attempt that kept its network."""

MOST_BINS = 30
MOST_NEURONS = 2**27
"""Of a layer: bounds the memory that the report takes for a damaged file."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Degrees:
    """Connections per neuron; `where` is a layer and a direction: "layer 1, incoming"."""

    setting: str
    topology: str
    where: str
    counts: Counts


def degrees(evidence: Evidence) -> Chart | None:
    """How many connections the neurons have, in the trained networks that were kept: a panel per
    layer and direction; None where no network was kept."""
    unread: list[str] = []
    found = list(_degrees(evidence, unread))
    if not found:
        return None
    known = [one.setting for one in found]
    setting = max(dict.fromkeys(known), key=known.count)
    shown = [one for one in found if one.setting == setting]
    places = list(dict.fromkeys(one.where for one in shown))
    panels = []
    for place in places[:MOST_PANELS]:
        parts = [one for one in shown if one.where == place]
        low, high = min(int(p.counts.min()) for p in parts), max(int(p.counts.max()) for p in parts)
        width = -(-(high + 1 - low) // MOST_BINS)  # of whole numbers of connections
        edges = np.arange(low, high + width + 1, width, dtype=np.float64) - 0.5
        axes = Axis("connections"), Axis("share of neurons", "fraction", limits=(0.0, math.nan))
        panels.append(Panel(place, *axes, [_steps(one, edges) for one in parts], 280))
    notes = [f"Setting: {setting}."] if setting else []
    if (settings := len(set(known))) > 1:
        notes.append(f"It is the one of {settings} settings with the most to show.")
    if len(places) > MOST_PANELS:
        notes.append(f"The first {MOST_PANELS} of {len(places)} panels.")
    if unread:
        notes.append(f"{plural(len(unread), 'network')} could not be read: {unread[0]}.")
    topologies = list(dict.fromkeys(one.topology for one in shown))
    return Chart(
        "degrees", "Degrees of the neurons",
        "Share of a layer's neurons by their incoming connections, and by their outgoing ones, "
        "after training: of the first seed of each topology whose network was kept, on the first "
        "backend, as backends follow the same trajectory. Layers in which all have the same number "
        "are left out.",
        panels, topologies, topologies, notes,
    )  # fmt: skip


def _degrees(evidence: Evidence, unread: list[str]) -> Iterator[Degrees]:
    """Of the first trial of each setting and topology that has its network."""
    for (setting, topology), part in groups(evidence.ok, CELL[:2]):
        for i in part.sort_values("seed", kind="stable").index:
            at = int(str(i))
            file = evidence.runs[at].folder(evidence.records[at]) / FILE
            if not file.is_file():
                continue
            try:
                layers = list(_layers(Archive(file)))
            except BadArchive as error:
                unread.append(str(error))
                continue
            for where, counts in layers:
                if counts.min() != counts.max():
                    yield Degrees(str(setting), str(topology), where, counts)
            break


def _layers(archive: Archive) -> Iterator[tuple[str, Counts]]:
    """Connections into each neuron of a layer, then out of each neuron before it."""
    number = 1
    with_layers = set(archive)
    while f"W{number}.indptr" in with_layers:
        columns = int(archive[f"W{number}.shape"][1])
        used = np.unique(archive[f"W{number}.indices"], return_counts=True)[1]
        if not used.size <= columns <= MOST_NEURONS:
            raise BadArchive(f"{archive.path.name}: layer {number} cannot have {columns} columns")
        unused = np.zeros(columns - used.size, dtype=np.int64)
        yield f"layer {number}, incoming", np.diff(archive[f"W{number}.indptr"])
        yield f"layer {number}, outgoing", np.concatenate([unused, used])
        number += 1
    archive.close()


def _steps(one: Degrees, edges: npt.NDArray[np.float64]) -> Series:
    neurons = np.histogram(one.counts, edges)[0]
    share = neurons / one.counts.size
    first, last = (edges[:-1] + 0.5).astype(int), (edges[1:] - 0.5).astype(int)
    return Series(
        ((edges[:-1] + edges[1:]) / 2).tolist(), share.tolist(), one.topology, one.topology,
        "steps", sizes=[5.0] * share.size,
        hover={
            "topology": [one.topology] * share.size,
            "connections": [str(a) if a == b else f"{a} to {b}" for a, b in zip(first, last)],
            "neurons": [f"{n:,} ({100 * s:.1f} %)" for n, s in zip(neurons, share)],
        },
    )  # fmt: skip
