"""Colours, sizes, names and notes that all charts of a report share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from sparsebench.analysis.number_format import (
    sentence_list,
)
from sparsebench.core.metric import Metric
from sparsebench.report.document import MOST_PANELS, Axis, Chart, Panel, Series

PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
"""The palette of Okabe and Ito (2008), which can be distinguished with any colour vision."""

LARGE = 460.0
"""Height in pixels of a chart's only panel."""

MARK = 9.0
"""Diameter of a mark in pixels."""

ALIKE = 0.005
"""Two lines whose y differ by at most this fraction of the range of y look the same on the page."""


def result_axis(metric: Metric) -> Axis:
    return Axis(metric.heading, "fraction" if metric.unit == "fraction" else "number")


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def large(panels: Sequence[Panel]) -> list[Panel]:
    """The panels; if there is only one, it is made higher and loses its title."""
    if len(panels) == 1:
        return [replace(panels[0], title="", height=LARGE)]
    return list(panels)


def left_out(panels: int) -> list[str]:
    return [f"The first {MOST_PANELS} of {panels} panels."] if panels > MOST_PANELS else []


def drawn_once(stand_for: Mapping[str, Sequence[str]]) -> list[str]:
    hidden = [f"{one} stands for {sentence_list(others)}" for one, others in stand_for.items()]
    if not hidden:
        return []
    return [f"Lines that cannot be distinguished are drawn once: {'; '.join(hidden)}."]


def names_of(frame: pd.DataFrame, panels: Sequence[Panel]) -> tuple[list[str], list[str]]:
    """The drawn names that have a colour, and those that have a shape, in the order of the frame's
    columns `tone` and `shape`."""
    drawn = [one for panel in panels for one in panel.series]
    found = []
    for given, order in (([s.toned for s in drawn], frame["tone"]),
                         ([s.shaped for s in drawn], frame["shape"])):  # fmt: skip
        found.append([name for name in dict.fromkeys(order) if name in given])
    return found[0], found[1]


def shape_of(chart: Chart, name: str) -> int:
    """The index of the marker and dash of a name. If the names of a chart have both a colour and a
    shape, names of the same colour differ in shape."""
    at = list(chart.shaped).index(name)
    return at + at // len(PALETTE) if list(chart.toned) == list(chart.shaped) else at


def heading_of(key: str) -> str:
    """The heading of a dotted key: "update every" for `topology.update_every`."""
    return key.rpartition(".")[2].replace("_", " ")


def without_duplicates(
    found: Sequence[Series], metric: Metric, stand_for: dict[str, list[str]]
) -> list[Series]:
    """Keep only the first of several lines that cannot be distinguished; the others are noted in
    `stand_for`. All lines of a measured time or memory are kept."""
    if metric.is_time or metric.unit == "bytes":
        return list(found)
    every = [y for one in found for y in one.y]
    near = ALIKE * (max(every) - min(every)) if every else 0.0
    kept: list[Series] = []
    for one in found:
        twin = next((other for other in kept if _alike(one, other, near)), None)
        if twin is None:
            kept.append(one)
            continue
        first, other = (
            (str(s.shaped) if twin.toned == one.toned else str(s.toned)) for s in (twin, one)
        )
        if other not in stand_for.setdefault(first, []):
            stand_for[first].append(other)
    return kept


def _alike(one: Series, other: Series, near: float) -> bool:
    return list(one.x) == list(other.x) and all(abs(a - b) <= near for a, b in zip(one.y, other.y))
