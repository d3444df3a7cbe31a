"""Finds the density or size at which truly sparse and simulated training cost the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sparsebench.analysis.report_data import (
    SIZE,
    SPARSITY,
    ReportData,
    families,
    groups,
    setting_labels,
    topology_labels,
)
from sparsebench.analysis.statistics import Spread
from sparsebench.core.sizes import SizedBackend
from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError

BELOW, ABOVE = 0.0, math.inf
"""The results if costs are not equal between the measured points, but only below or above them."""

MEASURES = ("epoch_seconds", "net_peak_bytes")
ALIKE = 1.01
"""Two densities or sizes whose ratio is at most this count as equal."""


@dataclass(frozen=True)
class Crossover:
    """The point between `least` and `most` at which two costs are equal. BELOW or ABOVE if there is
    none in between, nan if they cross more than once or in the wrong direction.

    low, high  range over all combinations of seeds; nan if there is only one seed or no unique
               crossing
    seeds      the number of seeds of the point and backend that has the fewest
    """

    at: float
    low: float
    high: float
    least: float
    most: float
    points: int
    seeds: int


@dataclass(frozen=True)
class Crossing:
    """The crossovers of one pair of backends along densities (`along` is "density") or along sizes
    ("connections").

    time, memory  None if the measure is known at fewer than two points
    neurons       crossovers of time and memory in neurons instead of connections, for sizes
    """

    setting: str
    topology: str
    along: str
    sparse: str
    simulated: str
    time: Crossover | None
    memory: Crossover | None
    neurons: Sequence[Crossover | None]


def crossover(
    x: Sequence[float],
    sparse: Sequence[Sequence[float]],
    simulated: Sequence[Sequence[float]],
    *,
    sparse_first: bool,
) -> Crossover | None:
    """The crossing of two cost curves, given the costs of all seeds at each x (ascending). None if
    there are fewer than two points.

    sparse_first  whether truly sparse is expected to cost less below the crossing (for densities)
                  and not above it (for sizes)
    """
    if len(x) < 2:
        return None
    pairs = list(zip(sparse, simulated, strict=True))
    curves = [
        [math.log(Spread.of(a).mean / Spread.of(b).mean) for a, b in pairs],
        [math.log(min(a) / max(b)) for a, b in pairs],
        [math.log(max(a) / min(b)) for a, b in pairs],
    ]
    sign = 1.0 if sparse_first else -1.0
    at, one, other = (equal_at(x, [sign * r for r in curve]) for curve in curves)
    seeds = min(len(values) for pair in pairs for values in pair)
    low, high = (math.nan, math.nan) if seeds < 2 else (min(one, other), max(one, other))
    return Crossover(at, low, high, x[0], x[-1], len(x), seeds)


def equal_at(x: Sequence[float], rising: Sequence[float]) -> float:
    """The x at which `rising` is 0, interpolated linearly in log x. BELOW if all values are above
    0, ABOVE if none is, nan if there is no single change from negative to positive."""
    positive = [value > 0 for value in rising]
    if all(positive):
        return BELOW
    if not any(positive):
        return ABOVE
    if positive != sorted(positive):
        return math.nan
    right = positive.index(True)
    share = -rising[right - 1] / (rising[right] - rising[right - 1])
    return math.exp((1 - share) * math.log(x[right - 1]) + share * math.log(x[right]))


def crossings(report_data: ReportData, kinds: Mapping[str, bool] | None = None) -> list[Crossing]:
    """Where the time and the net peak of each truly sparse backend equal those of each simulated
    one: by density for each setting, and by size for each topology; both only where the density
    varies, as it does over sizes at one epsilon.

    kinds  backend name -> whether it is truly sparse; None: as the plugins declare
    """
    frame = report_data.frame
    frame = frame.assign(start=frame["initial_connections"] / frame["dense_connections"])
    if frame[frame["ok"]]["start"].nunique() < 2 or frame["backend_name"].nunique() < 2:
        return []
    kinds = truly_sparse(frame["backend_name"].unique()) if kinds is None else kinds
    along_density = frame.assign(
        words=frame["setting"],
        among=topology_labels(report_data, *SPARSITY),
        family=families(report_data, *SPARSITY, "backend"),
        point=frame["topology_label"],
    )
    along_size = frame.assign(
        words=setting_labels(report_data, *SIZE),
        among=frame["topology_label"],
        family=families(report_data, *SIZE, "backend"),
        point=frame["setting"],
    )
    return [
        *_along(along_density, "density", kinds),
        *_along(along_size, "connections", kinds),
    ]


def _along(frame: pd.DataFrame, along: str, kinds: Mapping[str, bool]) -> Iterator[Crossing]:
    keys = ["words", "among", "family", "apart"]
    for (words, topology, *_), part in groups(frame[frame["ok"]], keys):
        if not part["start"].max() > ALIKE * part["start"].min():
            continue
        names = dict(zip(part["backend_label"], part["backend_name"]))
        sparse, simulated = ([b for b, name in names.items() if kinds.get(name) is kind]
                             for kind in (True, False))  # fmt: skip
        for pair in itertools.product(sparse, simulated):
            time, memory = (_crossover(part, pair, along, name) for name in MEASURES)
            neurons: Sequence[Crossover | None] = (None, None)
            if along == "connections":
                neurons = [_crossover(part, pair, "neurons", name) for name in MEASURES]
            if time or memory:
                yield Crossing(words, topology, along, *pair, time, memory, neurons)


def _crossover(
    part: pd.DataFrame, pair: tuple[str, str], along: str, measure: str
) -> Crossover | None:
    """The crossover over the points at which both backends have a value."""
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


def truly_sparse(names: Iterable[str]) -> dict[str, bool]:
    """Whether each backend is truly sparse, as the installed plugins declare it: by the parameter
    class if possible, which imports nothing heavy, else by the backend's class. Backends that
    declare nothing are left out."""
    known, found = load_plugins()["backend"], {}
    for name in names:
        try:
            if name not in known:
                continue
            parameters = known[name].parameters()()
            if isinstance(parameters, SizedBackend):
                said: object = parameters.truly_sparse
            else:
                loaded = None if known[name].unavailable() else known[name].load()
                said = getattr(loaded, "truly_sparse", None)
        except (SparsebenchError, TypeError, ValueError):
            continue
        if isinstance(said, bool):
            found[name] = said
    return found
