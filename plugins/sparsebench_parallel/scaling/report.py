"""Predicted epochs with more workers, compared with those that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sparsebench.units import brief_seconds
from sparsebench_parallel.scaling.measured_costs import MeasuredTrainer, costs_of
from sparsebench_parallel.scaling.simulation import Costs, Setting, simulate

Row = dict[str, Any]

MOST_STEPS = 20_000
"""The most steps of an epoch that are simulated. The time of a longer epoch is extrapolated from
its first steps."""

ENOUGH = 0.95
"""Share of the highest throughput at which more workers no longer count as helping."""


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """The settings to predict.

    workers, servers  numbers of them, each predicted with each
    cores             number of cores for all processes; None: one for each process
    latency           seconds of a message; None: as measured
    bandwidth         bytes per second of a link; None: as measured
    """

    workers: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    servers: Sequence[int] = (1, 4, 16)
    cores: float | None = None
    latency: float | None = None
    bandwidth: float | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A predicted epoch.

    seconds    duration of an epoch, including topology updates
    bound      a lower bound of `seconds` for any schedule of these stages
    staleness  mean staleness of gradients; 0 with a barrier at every step
    busy       share of the time in which a server processes gradients
    """

    setting: Setting
    seconds: float
    bound: float
    staleness: float
    busy: float


@dataclass(frozen=True)
class Report:
    """The result. Each table is a list of rows with the same keys.

    validation  measured and predicted epochs, by number of workers
    costs       the costs from which the predictions are made
    curve       predicted epochs, by numbers of servers and workers
    words       sentences
    """

    validation: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    curve: list[Row] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


# --- the model -------------------------------------------------------------------------------


def predict(costs: Costs, setting: Setting) -> Prediction:
    """Predict an epoch. At most as many workers as samples are counted, because more have nothing
    to do."""
    setting = replace(setting, workers=min(setting.workers, costs.samples))
    most = max(MOST_STEPS, 4 * setting.workers) * costs.batch
    part = replace(costs, samples=min(costs.samples, most))
    found = simulate(part, setting)
    training = found.seconds * costs.samples / part.samples
    end = costs.epoch_end_seconds(setting.workers, setting.servers)
    return Prediction(
        setting=setting,
        seconds=training + end,
        bound=bound(costs, setting) + end,
        staleness=found.staleness,
        busy=found.busy * training / (training + end),
    )


def bound(costs: Costs, setting: Setting) -> float:
    """The least seconds of an epoch, topology updates apart. It is the largest of these times: the
    cycles of the worker with the most work, all updates of the server, all messages on its link in
    one direction, and all computation divided by the number of cores."""
    batches = costs.batches(setting.workers)
    longest = max(sum(costs.cycle_seconds(setting.servers, n) for n in sizes) for sizes in batches)
    gradients = sum(map(len, batches))
    stages = [longest, gradients * slowest_stage(costs, setting.servers, setting.synchronous)[1]]
    if setting.cores is not None:
        updates = max(map(len, batches)) if setting.synchronous else gradients
        work = costs.step_seconds * costs.samples / costs.batch + updates * costs.serve_seconds
        stages.append(work / setting.cores)
    return max(stages)


def slowest_stage(costs: Costs, servers: int, synchronous: bool) -> tuple[str, float]:
    """The slowest stage of a server, "updates" or "link", and its seconds for one gradient. If
    `synchronous`, all gradients of a step share one update, so only the link counts."""
    message = max(costs.up_bytes, costs.down_bytes) / costs.bandwidth / servers
    update = 0.0 if synchronous else costs.serve_seconds / servers
    return ("updates", update) if update > message else ("link", message)


def saturating_workers(costs: Costs, servers: int, synchronous: bool) -> float:
    """The number of workers at which the slowest stage is always busy: the time of a cycle divided
    by the time of that stage."""
    seconds = slowest_stage(costs, servers, synchronous)[1]
    return costs.cycle_seconds(servers) / seconds if seconds else math.inf


# --- the report ------------------------------------------------------------------------------


def report(ways: Sequence[MeasuredTrainer], options: ScalingOptions) -> Report:
    found = Report()
    for way in ways:
        costs = costs_of(way)
        found.validation.extend(_validation(way, costs))
        costs = replace(
            costs,
            latency=costs.latency if options.latency is None else options.latency,
            bandwidth=costs.bandwidth if options.bandwidth is None else options.bandwidth,
        )
        found.costs.append(
            {
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
        )
        counts = sorted({min(count, costs.samples) for count in options.workers})
        for servers in options.servers:
            setting = Setting(
                workers=1, synchronous=way.synchronous, cores=options.cores, servers=servers
            )
            curve = [predict(costs, replace(setting, workers=count)) for count in counts]
            found.curve.extend(
                {
                    "network": way.network,
                    "trainer": way.trainer,
                    "servers": servers,
                    "workers": one.setting.workers,
                    "epoch s": one.seconds,
                    "bound s": one.bound,
                    "times as fast": way.base_seconds / one.seconds,
                    "staleness": one.staleness,
                    "server busy %": _rounded(100 * one.busy),
                }
                for one in curve
            )
            found.words.append(_in_words(way, costs, servers, curve))
    found.words.append(_error_in_words(found.validation))
    return found


def _validation(way: MeasuredTrainer, costs: Costs) -> Iterator[Row]:
    """Yield a row per number of workers with the measured and the predicted epoch. The model is
    made from the fewest workers."""
    for cell in way.cells:
        setting = Setting(workers=cell.workers, synchronous=way.synchronous, cores=cell.cores)
        measured, predicted = cell.known("epoch_seconds"), predict(costs, setting)
        yield {
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


def _error_in_words(rows: Sequence[Row]) -> str:
    errors = [row["error %"] for row in rows if not row["calibrated on"]]
    if not errors:
        return "Nothing was measured with more workers than the model is made of: no error known."
    cells = "cell" if len(errors) == 1 else f"{len(errors)} cells"
    return (
        f"Over the {cells} that the model has not seen, the predicted epoch differs by "
        f"{sum(map(abs, errors)) / len(errors):.0f} % in the mean, and by "
        f"{max(errors, key=abs):+.0f} % at the most."
    )


def _in_words(way: MeasuredTrainer, costs: Costs, servers: int, curve: Sequence[Prediction]) -> str:
    """A sentence with the number of workers that saturates the servers, and the best prediction.

    `digits 100-100, wasap, 1 server: no pause from 5.5 workers on, as an update takes 500 us ...`
    """
    base = "sequential" if way.alone is not None else f"{way.trainer} with {way.first.workers}"
    stage, seconds = slowest_stage(costs, servers, way.synchronous)
    workers = saturating_workers(costs, servers, way.synchronous)
    pause = "always a pause, as nothing there takes time"
    if math.isfinite(workers):
        count = f"{workers:.1f}" if workers < 10 else f"{workers:.0f}"
        what = "an update takes" if stage == "updates" else "each gradient keeps the link busy for"
        part = " of each" if servers > 1 else ""
        pause = f"no pause from {count} workers on, as {what} {_brief(seconds)}{part}"
    best = min(one.seconds for one in curve)
    enough = next(one for one in curve if one.seconds * ENOUGH <= best)
    return (
        f"{way.network}, {way.trainer}, {servers} server{'s' * (servers > 1)}: {pause}; "
        f"the shortest epoch predicted is {_brief(best)}, {way.base_seconds / best:.3g} times as "
        f"fast as {base}, and {enough.setting.workers} workers come within 5 % of it."
    )


def _brief(seconds: float) -> str:
    if seconds >= 60:
        return brief_seconds(seconds)
    factor, unit = (1.0, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
    return f"{seconds * factor:.3g} {unit}"


def _rounded(percent: float) -> float:
    """The number rounded to a tenth; never -0."""
    return round(percent, 1) + 0.0
