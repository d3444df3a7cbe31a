"""A suite dealt to several machines: the same on each, without their knowing of each other.

What is dealt must not depend on where: costs are declared work and never measured, and order is
by ids that leave out the number of threads, as that is by default a machine's own.
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
from sparsebench.run.planning.outline import outline

MOST = 10_000
"""Shards of a suite."""


@dataclass(frozen=True)
class Shard:
    """The `number`-th, from 1, of `count` parts."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """`2/8`: the second of eight."""
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

    Raises SparsebenchError where a data set is missing: sizes and ids depend on it, so another
    machine, that has it, would deal the trials otherwise.
    """
    if shard.count > 1:
        _require_data(trials)
    keys = [replace(trial, threads=0).id for trial in trials]
    costs = {key: cost(trial, plugins) for key, trial in zip(keys, trials)}
    mine = deal(costs, shard.count)[shard.number - 1]
    return [trial for key, trial in zip(keys, trials) if key in mine]


def cost(trial: Trial, plugins: Plugins) -> int | None:
    """Declared connections times samples of the whole training; None where not all is declared.

    A backend that looks at every position of a layer declares them all.
    """
    of = outline(trial, plugins)
    return of.work if of is not None else None


def deal(costs: Mapping[str, int | None], count: int) -> list[set[str]]:
    """The longest first, each to the shard that has least to do; ties by id, then by shard.

    So no shard has more than the least one by more than its last trial. An unknown cost counts
    as the median of those known.
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


def _require_data(trials: Sequence[Trial]) -> None:
    for trial in trials:
        if "missing" in trial.data:
            raise SparsebenchError(
                f"--shard: every machine must have all the data, or they deal the trials "
                f"differently; {trial.data['missing']}, or leave its trials out with -k"
            )
