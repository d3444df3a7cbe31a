"""Divides a suite among several machines, each of which computes the same shards on its own.

So the division must not depend on the machine: costs are declared, not measured, and trials are
sorted by ids that leave out the number of threads, whose default depends on the machine.
"""

from __future__ import annotations

import heapq
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sparsebench.core.trial import Trial
from sparsebench.errors import SparsebenchError
from sparsebench.registry import Plugins
from sparsebench.run.trial_sizes import declared_sizes

MOST = 10_000
"""Most shards of a suite."""


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Parse `2/8`, the second of eight."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.count <= MOST:
        raise SparsebenchError(
            f"--shard {text}: expected NUMBER/COUNT, such as 2/8: the second of eight, counted "
            f"from 1, up to {MOST}"
        )
    return shard


def shard_of(shard: Shard, trials: Sequence[Trial], plugins: Plugins) -> list[Trial]:
    """The trials of this shard, in the order of the suite.

    Raises SparsebenchError if a data set is missing: sizes and ids depend on it, so a machine that
    has it would divide the trials differently.
    """
    missing = [trial.data["missing"] for trial in trials if "missing" in trial.data]
    if missing and shard.count > 1:
        raise SparsebenchError(
            f"--shard: every machine must have all the data, or they deal the trials "
            f"differently; {missing[0]}, or leave its trials out with -k"
        )
    keys = [replace(trial, threads=0).id for trial in trials]
    costs = {key: cost(trial, plugins) for key, trial in zip(keys, trials)}
    mine = deal(costs, shard.count)[shard.number - 1]
    return [trial for key, trial in zip(keys, trials) if key in mine]


def cost(trial: Trial, plugins: Plugins) -> int | None:
    """The declared work of a trial (see `TrialSizes.work`); None if its sizes are not known before
    its data are loaded (see `declared_sizes`)."""
    sizes = declared_sizes(trial, plugins)
    return sizes.work if sizes is not None else None


def deal(costs: Mapping[str, int | None], count: int) -> list[set[str]]:
    """The keys of `costs` (trial ids), divided into `count` shards of about equal work.

    The trials are dealt one by one, the most expensive first (ties by id), to the shard with the
    least work so far (ties by number). An unknown cost counts as the lower median of the known
    costs, or as 1 if none is known.
    """
    known = [cost for cost in costs.values() if cost is not None]
    middle = statistics.median_low(known) if known else 1
    estimates = {key: cost if cost is not None else middle for key, cost in costs.items()}
    shards: list[set[str]] = [set() for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for key in sorted(estimates, key=lambda key: (-estimates[key], key)):
        load, least = loads[0]
        shards[least].add(key)
        heapq.heapreplace(loads, (load + max(1, estimates[key]), least))
    return shards
