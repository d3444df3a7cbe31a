"""What the model says of runs: held against what was measured, and beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sparsebench.units import brief_seconds
from sparsebench_parallel.scaling.costs import Costs
from sparsebench_parallel.scaling.measured import Cell, Way, costs_of
from sparsebench_parallel.scaling.prediction import Prediction, Saturation, predict, saturation
from sparsebench_parallel.scaling.simulation import Setting

Row = dict[str, Any]

ENOUGH = 0.95
"""Share of the highest throughput at which more workers no longer count as helping."""


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """What to predict beyond what was measured. None: as it was measured.

    cores  for all processes; None: one for each
    """

    workers: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    servers: Sequence[int] = (1, 4, 16)
    cores: float | None = None
    latency: float | None = None
    bandwidth: float | None = None


@dataclass(frozen=True)
class Report:
    """Tables as rows with the same keys, and sentences."""

    validation: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    curve: list[Row] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def report(ways: Sequence[Way], options: ScalingOptions) -> Report:
    found = Report()
    for way in ways:
        costs = costs_of(way)
        found.validation.extend(validated(way, costs))
        elsewhere = adjusted(costs, options)
        found.costs.append(cost_row(way, elsewhere))
        curves = {count: _curve(way, elsewhere, options, count) for count in options.servers}
        for predictions in curves.values():
            found.curve.extend(_row(way, prediction) for prediction in predictions)
        found.words.extend(in_words(way, elsewhere, curves))
    found.words.append(error_in_words(found.validation))
    return found


# --- against what was measured --------------------------------------------------------


def validated(way: Way, costs: Costs) -> Iterator[Row]:
    """A row per number of workers; the first one is what the model is made of."""
    for cell in way.cells:
        setting = Setting(workers=cell.workers, synchronous=way.synchronous, cores=cell.cores)
        yield _held(way, cell, predict(costs, setting))


def _held(way: Way, cell: Cell, predicted: Prediction) -> Row:
    measured = cell.mean("epoch_seconds") or math.nan
    return {
        "network": way.network,
        "trainer": way.trainer,
        "workers": cell.workers,
        "cores": f"{cell.cores:g}",
        "n": len(cell.records),
        "epoch s": measured,
        "predicted s": predicted.seconds,
        "error %": _rounded(100 * (predicted.seconds / measured - 1)),
        "staleness": cell.mean("staleness_mean"),
        "predicted staleness": predicted.staleness,
        "calibrated on": "yes" if cell is way.first else "",
    }


def error_in_words(rows: Sequence[Row]) -> str:
    errors = [row["error %"] for row in rows if not row["calibrated on"]]
    if not errors:
        return "Nothing was measured with more workers than the model is made of: no error known."
    mean = sum(map(abs, errors)) / len(errors)
    worst = max(errors, key=abs)
    cells = "cell" if len(errors) == 1 else f"{len(errors)} cells"
    return (
        f"Over the {cells} that the model has not seen, the predicted epoch differs by "
        f"{mean:.0f} % in the mean, and by {worst:+.0f} % at the most."
    )


# --- beyond it ------------------------------------------------------------------------


def adjusted(costs: Costs, options: ScalingOptions) -> Costs:
    """The same work on another network of machines."""
    return replace(
        costs,
        latency=costs.latency if options.latency is None else options.latency,
        bandwidth=costs.bandwidth if options.bandwidth is None else options.bandwidth,
    )


def cost_row(way: Way, costs: Costs) -> Row:
    return {
        "network": way.network,
        "trainer": way.trainer,
        "worker ms": costs.step_seconds * 1e3,
        "server ms": costs.serve_seconds * 1e3,
        "gradient kB": costs.up_bytes / 1e3,
        "values kB": costs.down_bytes / 1e3,
        "latency us": costs.latency * 1e6,
        "bandwidth MB/s": costs.bandwidth / 1e6,
        "topology s": costs.topology_seconds,
        "steps": costs.steps,
    }


def _curve(way: Way, costs: Costs, options: ScalingOptions, servers: int) -> list[Prediction]:
    """None with more workers than samples: nothing would change."""
    counts = sorted({min(count, costs.samples) for count in options.workers})
    return [
        predict(
            costs,
            Setting(
                workers=count, synchronous=way.synchronous, cores=options.cores, servers=servers
            ),
        )
        for count in counts
    ]


def _row(way: Way, predicted: Prediction) -> Row:
    base = base_seconds(way)
    return {
        "network": way.network,
        "trainer": way.trainer,
        "servers": predicted.setting.servers,
        "workers": predicted.setting.workers,
        "epoch s": predicted.seconds,
        "bound s": predicted.bound,
        "times as fast": base / predicted.seconds,
        "staleness": predicted.staleness,
        "server busy %": _rounded(100 * predicted.busy),
    }


def base_seconds(way: Way) -> float:
    """An epoch as measured: of one process, else of the fewest workers."""
    cell = way.alone if way.alone is not None else way.first
    return cell.mean("epoch_seconds") or math.nan


def in_words(way: Way, costs: Costs, curves: dict[int, list[Prediction]]) -> Iterator[str]:
    """A sentence per number of servers: where they have no pause, and what is the most to be had.

    `digits 100-100, wasap, 1 server: no pause from 5.5 workers on, as an update takes 500 us ...`
    """
    base = "sequential" if way.alone is not None else f"{way.trainer} with {way.first.workers}"
    for servers, curve in curves.items():
        at = saturation(costs, servers, way.synchronous)
        best = min(curve, key=lambda one: one.seconds)
        enough = next(one for one in curve if one.seconds * ENOUGH <= best.seconds)
        yield (
            f"{way.network}, {way.trainer}, {servers} server{'s' * (servers > 1)}: {_pause(at)}; "
            f"the shortest epoch predicted is {_brief(best.seconds)}, "
            f"{base_seconds(way) / best.seconds:.3g} times as fast as {base}, and "
            f"{enough.setting.workers} workers come within 5 % of it."
        )


def _pause(at: Saturation) -> str:
    if not math.isfinite(at.workers):
        return "always a pause, as nothing there takes time"
    workers = f"{at.workers:.1f}" if at.workers < 10 else f"{at.workers:.0f}"
    what = "an update takes" if at.stage == "updates" else "each gradient keeps the link busy for"
    part = " of each" if at.servers > 1 else ""
    return f"no pause from {workers} workers on, as {what} {_brief(at.seconds)}{part}"


def _brief(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return brief_seconds(seconds) if seconds >= 60 else f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _rounded(percent: float) -> float:
    """To a tenth; never -0."""
    return round(percent, 1) + 0.0
