"""What an epoch would take, and where more workers no longer help."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sparsebench_parallel.scaling.costs import Costs
from sparsebench_parallel.scaling.simulation import Setting, simulate

MOST_STEPS = 20_000
"""Of an epoch that is simulated; of a longer one the first so many, and the rest in proportion."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """seconds    of an epoch, its update of the topology among them
    bound      seconds that no schedule of these stages can be below
    staleness  mean; 0 with a barrier at every step
    busy       share of the time in which a server works on gradients
    """

    setting: Setting
    seconds: float
    bound: float
    staleness: float
    busy: float


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Where servers have no pause left.

    workers  from which on more of them wait for the slowest stage
    stage    that stage: "updates" of the server, or its "link"
    seconds  that stage takes for one gradient
    epoch    seconds that an epoch cannot be below, however many workers there are
    """

    servers: int
    workers: float
    stage: str
    seconds: float
    epoch: float


def predict(costs: Costs, setting: Setting) -> Prediction:
    """More workers than samples have nothing to do: they are left out."""
    setting = replace(setting, workers=min(setting.workers, costs.samples))
    part = shortened(costs, setting.workers)
    found = simulate(part, setting)
    longer = costs.samples / part.samples
    end = costs.epoch_end_seconds(setting.workers, setting.servers)
    return Prediction(
        setting=setting,
        seconds=found.seconds * longer + end,
        bound=bound(costs, setting) + end,
        staleness=found.staleness,
        busy=found.busy * found.seconds * longer / (found.seconds * longer + end),
    )


def shortened(costs: Costs, workers: int) -> Costs:
    """An epoch of no more steps than are simulated, but of some rounds of all workers."""
    most = max(MOST_STEPS, 4 * workers) * costs.batch
    return replace(costs, samples=min(costs.samples, most))


def bound(costs: Costs, setting: Setting) -> float:
    """The slowest of: the longest worker's own way, the server's updates, its link each way, and
    all work over the cores."""
    batches = costs.batches(setting.workers)
    longest = max(
        sum(costs.cycle_seconds(setting.servers, size) for size in sizes) for sizes in batches
    )
    gradients = sum(map(len, batches))
    _, slowest = slowest_stage(costs, setting.servers, setting.synchronous)
    stages = [longest, gradients * slowest]
    if setting.cores is not None:
        updates = max(map(len, batches)) if setting.synchronous else gradients
        work = costs.step_seconds * costs.samples / costs.batch + updates * costs.serve_seconds
        stages.append(work / setting.cores)
    return max(stages)


def slowest_stage(costs: Costs, servers: int, synchronous: bool) -> tuple[str, float]:
    """Of a server, for one gradient: its name and its seconds. With a barrier there is one update
    for all of a step, and only the link has something to do for each."""
    message = max(costs.up_bytes, costs.down_bytes) / costs.bandwidth / servers
    update = 0.0 if synchronous else costs.serve_seconds / servers
    return ("updates", update) if update > message else ("link", message)


def saturation(costs: Costs, servers: int, synchronous: bool) -> Saturation:
    """By the stages alone: a cycle over its slowest stage is how many workers keep that busy."""
    stage, seconds = slowest_stage(costs, servers, synchronous)
    cycle = costs.cycle_seconds(servers)
    return Saturation(
        servers=servers,
        workers=cycle / seconds if seconds else math.inf,
        stage=stage,
        seconds=seconds,
        epoch=costs.steps * seconds + costs.epoch_end_seconds(1, servers),
    )
