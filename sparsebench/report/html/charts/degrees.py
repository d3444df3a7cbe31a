"""How many connections the neurons have, in the trained networks that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource

from sparsebench.analysis.evidence import CELL, Evidence, groups
from sparsebench.analysis.formats import plural
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.report.html.charts.canvas import (
    MOST_PANELS,
    Chart,
    Looks,
    Panel,
    add_hover,
    new_figure,
    share_axis,
)

FILE = "model.npz"
"""In the folder of an attempt that kept its network."""

MOST_BINS = 30
MOST_NEURONS = 2**27
"""Of a layer: bounds the memory that the report takes for a damaged file."""

CAPTION = (
    "Share of a layer's neurons by their incoming connections, and by their outgoing ones, after "
    "training: of the first seed of each topology whose network was kept, on the first backend, as "
    "backends follow the same trajectory. Layers in which all have the same number are left out."
)
TOOLTIPS = [("topology", "@topology"), ("connections", "@span"), ("neurons", "@shown")]

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Degrees:
    """Connections per neuron; `where` is a layer and a direction: "layer 1, incoming"."""

    setting: str
    topology: str
    where: str
    counts: Counts


def chart(evidence: Evidence) -> Chart | None:
    """A panel per layer and direction; None where no network was kept."""
    unread: list[str] = []
    found = list(_degrees(evidence, unread))
    if not found:
        return None
    known = [one.setting for one in found]
    setting = max(dict.fromkeys(known), key=known.count)
    shown = [one for one in found if one.setting == setting]
    topologies = [one.topology for one in shown]
    looks = Looks.of(topologies, topologies)
    places = list(dict.fromkeys(one.where for one in shown))
    panels = [
        Panel(place, _figure([one for one in shown if one.where == place], looks))
        for place in places[:MOST_PANELS]
    ]
    notes = [f"Setting: {setting}."] if setting else []
    if (settings := len(set(known))) > 1:
        notes.append(f"It is the one of {settings} settings with the most to show.")
    if len(places) > MOST_PANELS:
        notes.append(f"The first {MOST_PANELS} of {len(places)} panels.")
    if unread:
        notes.append(f"{plural(len(unread), 'network')} could not be read: {unread[0]}.")
    return Chart("Degrees of the neurons", CAPTION, panels, looks.keys(lines=True), notes)


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


def _figure(parts: Sequence[Degrees], looks: Looks) -> Any:
    made = new_figure(280)
    made.y_range.start = 0
    share_axis(made.yaxis[0])
    made.xaxis[0].axis_label, made.yaxis[0].axis_label = "connections", "share of neurons"
    low, high = min(int(p.counts.min()) for p in parts), max(int(p.counts.max()) for p in parts)
    width = -(-(high + 1 - low) // MOST_BINS)  # of whole numbers of connections
    edges = np.arange(low, high + width + 1, width, dtype=np.float64) - 0.5
    lines = [_steps(made, one, edges, looks) for one in parts]
    add_hover(made, lines, TOOLTIPS)
    return made


def _steps(made: Any, one: Degrees, edges: npt.NDArray[np.float64], looks: Looks) -> Any:
    neurons = np.histogram(one.counts, edges)[0]
    share = neurons / one.counts.size
    look = {"color": looks.tone(one.topology), "tags": looks.tags(one.topology, one.topology)}
    first, last = (edges[:-1] + 0.5).astype(int), (edges[1:] - 0.5).astype(int)
    source = ColumnDataSource({
        "x": (edges[:-1] + edges[1:]) / 2, "y": share, "topology": [one.topology] * share.size,
        "span": [str(a) if a == b else f"{a} to {b}" for a, b in zip(first, last)],
        "shown": [f"{n:,} ({100 * s:.1f} %)" for n, s in zip(neurons.tolist(), share.tolist())],
    })  # fmt: skip
    made.step("x", "y", source=source, mode="center", width=2, **look,
              line_dash=looks.line(one.topology))  # fmt: skip
    return made.scatter("x", "y", source=source, size=5, **look, marker=looks.shape(one.topology))
