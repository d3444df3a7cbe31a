"""The chart of the degrees (connections per neuron) in stored networks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.analysis.kept_networks import (
    MOST_NEURONS,
    most_frequent_setting,
    read_first_networks,
)
from sparsebench.analysis.number_format import plural
from sparsebench.analysis.report_data import ReportData
from sparsebench.core.archive import Archive, BadArchive
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel, Series

MOST_BINS = 30
MOST_LINES = 6
"""The most lines in a panel: more would hide each other."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Degrees:
    """The number of connections of each neuron of one stored network, in one layer and direction:
    `where` is such as "layer 1, incoming"."""

    setting: str
    topology: str
    where: str
    counts: Counts


def degrees(report_data: ReportData) -> Chart | None:
    """The distribution of degrees in stored trained networks, with a panel per layer and direction.
    None if no network was stored, or if in each layer all neurons have the same degree."""
    unread: list[str] = []
    found = list(_degrees(report_data, unread))
    if not found:
        return None
    setting, notes = most_frequent_setting([one.setting for one in found])
    shown = [one for one in found if one.setting == setting]
    kinds = list(dict.fromkeys(one.topology for one in shown))
    shown = [one for one in shown if one.topology in kinds[:MOST_LINES]]
    places = list(dict.fromkeys(one.where for one in shown))
    panels = []
    for place in places[:MOST_PANELS]:
        parts = [one for one in shown if one.where == place]
        low, high = min(int(p.counts.min()) for p in parts), max(int(p.counts.max()) for p in parts)
        width = -(-(high + 1 - low) // MOST_BINS)  # of whole numbers of connections
        edges = np.arange(low, high + width + 1, width, dtype=np.float64) - 0.5
        axes = Axis("connections"), Axis("share of neurons", "fraction", limits=(0.0, math.nan))
        panels.append(Panel(place, *axes, [_steps(one, edges) for one in parts], 280))
    if len(kinds) > MOST_LINES:
        notes.append(f"The first {MOST_LINES} of {len(kinds)} topologies.")
    if len(places) > MOST_PANELS:
        notes.append(f"The first {MOST_PANELS} of {len(places)} panels.")
    if unread:
        notes.append(f"{plural(len(unread), 'network')} could not be read: {unread[0]}.")
    topologies = list(dict.fromkeys(one.topology for one in shown))
    return Chart(
        "degrees", "Degrees of the neurons",
        "Share of a layer's neurons by their incoming connections, and by their outgoing ones, "
        "after training: of the first seed of each topology whose network was kept, on the first "
        "backend, as backends follow the same trajectory. What goes out of layer 1 comes from the "
        "inputs. Layers in which all have the same number are left out.",
        panels, topologies, topologies, notes,
    )  # fmt: skip


def _degrees(report_data: ReportData, unread: list[str]) -> Iterator[Degrees]:
    """Yield the degrees of the first stored network of each setting and topology, without layers in
    which all neurons have the same."""
    for setting, topology, layers in read_first_networks(report_data, _layers, unread):
        for where, counts in layers:
            if counts.min() != counts.max():
                yield Degrees(setting, topology, where, counts)


def _layers(archive: Archive) -> list[tuple[str, Counts]]:
    """For each layer, the number of incoming connections of each of its neurons, and the number of
    outgoing connections of each neuron before it."""
    number, found = 1, []
    with_layers = set(archive)
    while f"W{number}.indptr" in with_layers:
        columns = int(archive[f"W{number}.shape"][1])
        used = np.unique(archive[f"W{number}.indices"], return_counts=True)[1]
        if not used.size <= columns <= MOST_NEURONS:
            raise BadArchive(f"{archive.path.name}: layer {number} cannot have {columns} columns")
        unused = np.zeros(columns - used.size, dtype=np.int64)
        found.append((f"layer {number}, incoming", np.diff(archive[f"W{number}.indptr"])))
        found.append((f"layer {number}, outgoing", np.concatenate([unused, used])))
        number += 1
    return found


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
