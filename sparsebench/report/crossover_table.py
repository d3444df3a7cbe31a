"""Where truly sparse beats simulated, by pairs of backends: a table, and a sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.crossover import ABOVE, BELOW, Crossover, crossover, truly_sparse
from sparsebench.analysis.evidence import (
    SIZE,
    SPARSITY,
    Evidence,
    families,
    groups,
    setting_labels,
    topology_labels,
)
from sparsebench.analysis.formats import (
    UNKNOWN,
    count,
    decimals_for,
    escape,
    fixed,
    sentence_list,
    table_of,
)

MEASURES = ("epoch_seconds", "net_peak_bytes")
ALIKE = 1.01
"""Densities, or sizes, up to this ratio count as one."""

NOTE = (
    "The place at which a truly sparse backend and a simulated one take the same, straight between "
    "the two neighbouring points in log-log: at lower densities, or larger sizes, truly sparse is "
    "cheaper. Below or above: one of the two is cheaper at every point. Over seeds: the range "
    "over every combination of seeds; not known with one. Failed trials are no points."
)


@dataclass(frozen=True)
class Crossing:
    """One pair of backends along densities (`along` "density") or sizes ("connections").

    time, memory  None where a measure is known at fewer than two points
    neurons       of time and memory along neurons, for sizes
    """

    setting: str
    topology: str
    along: str
    sparse: str
    simulated: str
    time: Crossover | None
    memory: Crossover | None
    neurons: tuple[Crossover | None, ...]


def section(evidence: Evidence) -> Iterator[str]:
    """A heading, the table and its note; nothing where no two backends can be compared."""
    names = list(dict.fromkeys(evidence.frame["backend"]))
    kinds = truly_sparse(names) if len(names) > 1 else {}
    rows = crossover_table(crossings(evidence, kinds))
    if rows:
        yield from ("## Where truly sparse beats simulated", rows, NOTE)
        unknown = [escape(name) for name in names if name not in kinds]
        if unknown:
            yield f"Left out, not known here whether truly sparse: {sentence_list(unknown)}."


def crossings(evidence: Evidence, kinds: Mapping[str, bool] | None = None) -> list[Crossing]:
    """Every pair of a truly sparse backend and a simulated one, wherever there are several
    densities in one setting, or several sizes at one epsilon.

    kinds  whether a backend is truly sparse, by name; from the plugins if None
    """
    frame = evidence.frame
    frame = frame.assign(start=frame["initial_connections"] / frame["dense_connections"])
    if frame[frame["ok"]]["start"].nunique() < 2 or frame["backend"].nunique() < 2:
        return []
    kinds = truly_sparse(frame["backend"].unique()) if kinds is None else kinds
    along_density = frame.assign(
        words=frame["setting"],
        among=topology_labels(evidence, *SPARSITY),
        family=families(evidence, *SPARSITY, "backend"),
        point=frame["topology_label"],
    )
    along_size = frame.assign(
        words=setting_labels(evidence, *SIZE),
        among=frame["topology_label"],
        family=families(evidence, *SIZE, "backend"),
        point=frame["setting"],
    )
    return [
        *_along(along_density, "density", kinds),
        *_along(along_size, "connections", kinds),
    ]


def crossover_table(found: list[Crossing]) -> str:
    """A row per pair and setting; empty if there are none."""
    rows = [
        [
            escape(one.setting), escape(one.topology), escape(one.sparse), escape(one.simulated),
            *_cells(one.time, one.along, one.neurons[0]),
            *_cells(one.memory, one.along, one.neurons[1]),
            str(max(c.points for c in (one.time, one.memory) if c)),
        ]
        for one in found
    ]  # fmt: skip
    header = ["setting", "topology", "truly sparse", "simulated", "time equal at", "over seeds",
              "net peak equal at", "over seeds", "points"]  # fmt: skip
    return table_of(header, rows, left=4)


def crossover_sentence(found: list[Crossing]) -> str:
    """The range over settings of the first pair, along densities if they vary; empty if no pair
    has a crossover."""
    for along in ("density", "connections"):
        alike = [one for one in found if one.along == along]
        first = [(one.sparse, one.simulated) for one in alike[:1]]
        pair = [one for one in alike if (one.sparse, one.simulated) in first]
        time, memory = (_range([getattr(o, name) for o in pair], along)
                        for name in ("time", "memory"))  # fmt: skip
        costs = [f"time per epoch {time}"] if time else []
        costs += [f"net peak memory {memory}"] if memory else []
        if costs:
            names = f"{escape(pair[0].sparse)} and {escape(pair[0].simulated)}"
            return f"{names} take the same {sentence_list(costs, 'and the same')}."
    return ""


def _along(frame: pd.DataFrame, along: str, kinds: Mapping[str, bool]) -> Iterator[Crossing]:
    keys = ["words", "among", "family", "apart"]
    for (words, topology, *_), part in groups(frame[frame["ok"]], keys):
        if not part["start"].max() > ALIKE * part["start"].min():
            continue
        names = dict(zip(part["backend_label"], part["backend"]))
        sparse, simulated = ([b for b, name in names.items() if kinds.get(name) is kind]
                             for kind in (True, False))  # fmt: skip
        for pair in itertools.product(sparse, simulated):
            time, memory = (_crossover(part, pair, along, name) for name in MEASURES)
            neurons: Sequence[Crossover | None] = (None, None)
            if along == "connections":
                neurons = [_crossover(part, pair, "neurons", name) for name in MEASURES]
            if time or memory:
                yield Crossing(words, topology, along, *pair, time, memory, tuple(neurons))


def _crossover(
    part: pd.DataFrame, pair: tuple[str, str], along: str, measure: str
) -> Crossover | None:
    """Over the points at which both backends have a number."""
    column = {"density": "start", "connections": "initial_connections"}.get(along, along)
    both: list[tuple[float, list[float], list[float]]] = []
    for _, point in part[part[measure] > 0].groupby("point", sort=False):
        costs = [point.loc[point["backend_label"] == b, measure].tolist() for b in pair]
        if all(costs):
            both.append((float(point[column].mean()), costs[0], costs[1]))
    both.sort(key=lambda one: one[0])
    if not both or not both[-1][0] > ALIKE * both[0][0]:
        return None
    x, one, other = zip(*both)
    return crossover(x, one, other, sparse_first=along == "density")


def _cells(found: Crossover | None, along: str, neurons: Crossover | None) -> tuple[str, str]:
    """`6.2 %`, and the range over seeds."""
    if found is None:
        return UNKNOWN, UNKNOWN
    at = _place(found.at, found, SHOW[along])
    if neurons is not None and not math.isnan(neurons.at):
        at = f"{at} ({_place(neurons.at, neurons, SHOW['neurons'])})"
    if math.isnan(found.low) or math.isnan(found.high):
        return at, "not known"
    low, high = (_place(end, found, SHOW[along]) for end in (found.low, found.high))
    return at, low if low == high else f"{low} to {high}"


def _place(value: float, of: Crossover, show: Callable[[float], str]) -> str:
    """`6.2 %`, `below 1.0 %`, `above 50 %`."""
    if math.isnan(value):
        return "no single place"
    if value == BELOW:
        return f"below {show(of.least)}"
    return f"above {show(of.most)}" if value == ABOVE else show(value)


def _range(found: list[Crossover | None], along: str) -> str:
    """The least and the most of those between points, then the others: `at a density of 6.2 % to
    8.0 % or, if at all, above 16 %`."""
    show = SHOW[along]
    known = [one for one in found if one is not None and not math.isnan(one.at)]
    inside = sorted(one.at for one in known if one.at not in (BELOW, ABOVE))
    ends = list(dict.fromkeys(map(show, inside[:1] + inside[-1:])))
    outside = dict.fromkeys(_place(one.at, one, show) for one in known if one.at in (BELOW, ABOVE))
    of = "at a density of " if along == "density" else "at "
    spans = [of + " to ".join(ends)] if ends else []
    return sentence_list([*spans, *(f"if at all {place}" for place in outside)], "or")


def _density(value: float) -> str:
    return f"{fixed(value * 100, decimals_for(value * 100, 2))} %"


def _rounded(value: float) -> str:
    """Three digits, as a count."""
    return count(round(value, -max(0, math.floor(math.log10(value)) - 2)))


SHOW: dict[str, Callable[[float], str]] = {
    "density": _density,
    "connections": lambda value: f"{_rounded(value)} connections",
    "neurons": lambda value: f"{_rounded(value)} neurons",
}
