"""The trials of runs as cells of one question: the same network, with so many workers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, digest
from sparsebench.errors import NothingMatched
from sparsebench.store.record import Record
from sparsebench.suite.labels import brief, told_apart, varies
from sparsebench_parallel.scaling.costs import Costs

SEQUENTIAL = "sequential"
NEEDED = (
    "worker_step_seconds", "master_step_seconds", "bytes_sent_per_step", "link_latency_seconds",
    "link_bytes_per_second", "epoch_seconds",
)  # fmt: skip
"""What a trial with one worker must have measured for the model to be made of it."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Trials that differ in the seed only, of one machine.

    workers  0 for a process that trains alone      cores  for its processes, each with its threads
    """

    workers: int
    cores: float
    records: list[Record] = field(repr=False)

    def mean(self, name: str) -> float | None:
        """Over the seeds that have it."""
        values = [record.measures.get(name) for record in self.records]
        found = [float(value) for value in values if value is not None]
        return statistics.fmean(found) if found else None

    @property
    def trial(self) -> Trial:
        return self.records[0].trial


@dataclass(frozen=True, eq=False)
class Way:
    """One network trained in one way on one machine, with different numbers of workers.

    alone   the same network trained by one process; None if there was none
    cells   by number of workers, rising
    """

    network: str
    trainer: str
    alone: Cell | None
    cells: list[Cell]

    @property
    def first(self) -> Cell:
        """What the model is made of: the fewest workers."""
        return self.cells[0]

    @property
    def synchronous(self) -> bool:
        """Whether a step waits for all: then no gradient is late, and no staleness is recorded."""
        return all(cell.mean("staleness_mean") is None for cell in self.cells)


def ways(records: Iterable[Record]) -> list[Way]:
    """Of the trials that ended well. Raises NothingMatched where none has a server and workers."""
    good = [record for record in records if record.status == Status.OK]
    parallel = [r for r in good if _workers(r) > 0 and _has(r, NEEDED)]
    if not parallel:
        raise NothingMatched(_why_none(good))
    names = named([record.trial for record in parallel])
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in parallel:
        key = (_family(record), digest(_trainer(record.trial), 8))
        groups.setdefault(key, []).append(record)
    alone = _alone(good)
    trainers = [_trainer(members[0].trial) for members in groups.values()]
    return [
        Way(
            names[digest(network_of(members[0].trial), 8)],
            told_apart(_trainer(members[0].trial), trainers),
            alone.get(family),
            _cells(members),
        )
        for (family, _), members in groups.items()
    ]


def costs_of(way: Way) -> Costs:
    """From the cell with the fewest workers alone. All its seconds that are neither the server's
    nor a message's are the worker's: gathering a batch, packing, what Python takes."""
    cell, trial = way.first, way.first.trial
    samples = _samples(cell)
    sent = _known(cell, "bytes_sent_per_step") / (cell.workers if way.synchronous else 1)
    topology = (cell.mean("topology_seconds") or 0.0) / trial.epochs
    moved = (cell.mean("topology_bytes_sent") or 0.0) / trial.epochs / cell.workers
    costs = Costs(
        samples=samples,
        batch=trial.batch_size,
        step_seconds=_known(cell, "worker_step_seconds"),
        serve_seconds=_known(cell, "master_step_seconds"),
        up_bytes=sent / 2,
        down_bytes=sent / 2,
        latency=_known(cell, "link_latency_seconds"),
        bandwidth=_known(cell, "link_bytes_per_second"),
        topology_seconds=topology,
        topology_bytes=moved,
    )
    if cell.workers > 1:
        return costs
    rest = _known(cell, "epoch_seconds") - costs.epoch_end_seconds(1)
    rest -= sum(costs.cycle_seconds(size=size) for size in costs.batches(1)[0])
    more = max(0.0, rest) / (samples / trial.batch_size)
    return replace(costs, step_seconds=costs.step_seconds + more)


# --- which records belong together ----------------------------------------------------


def _workers(record: Record) -> int:
    workers = record.trial.trainer.get("workers")
    return workers if isinstance(workers, int) else 0


def _has(record: Record, names: Sequence[str]) -> bool:
    return all(record.measures.get(name) is not None for name in names)


def _trainer(trial: Trial) -> dict[str, Any]:
    return {key: value for key, value in trial.trainer.items() if key != "workers"}


def _family(record: Record) -> str:
    """The network, on a machine, alone there or not."""
    apart = {"machine": str(record.machine.get("id", "")), "contended": record.contended}
    return digest({**network_of(record.trial), **apart}, 8)


def _cells(members: Sequence[Record]) -> list[Cell]:
    by_workers: dict[int, list[Record]] = {}
    for record in members:
        by_workers.setdefault(_workers(record), []).append(record)
    return [Cell(count, _cores(by_workers[count][0]), by_workers[count])
            for count in sorted(by_workers)]  # fmt: skip


def _alone(good: Sequence[Record]) -> dict[str, Cell]:
    found: dict[str, list[Record]] = {}
    for record in good:
        if record.trial.trainer.get("name") == SEQUENTIAL and _has(record, ["epoch_seconds"]):
            found.setdefault(_family(record), []).append(record)
    return {family: Cell(0, _cores(same[0]), same) for family, same in found.items()}


def _cores(record: Record) -> float:
    """How many of its processes the cores that it had could run at once."""
    given = record.settings.get("cores")
    cores = len(given) if given else int(record.machine.get("usable_cores") or 1)
    return max(1.0, cores / record.trial.threads)


def _samples(cell: Cell) -> int:
    """Of an epoch, from what the loop says it took a second."""
    rate, seconds = _known(cell, "samples_per_second"), _known(cell, "train_seconds")
    return max(1, round(rate * seconds / cell.trial.epochs))


def _known(cell: Cell, name: str) -> float:
    value = cell.mean(name)
    if value is None or value < 0:
        raise NothingMatched(
            f"trial {cell.trial.id}: {name} is not known; expected trials of this version of "
            "sparsebench: run them again"
        )
    return value


def _why_none(good: Sequence[Record]) -> str:
    names = sorted({str(record.trial.trainer.get("name")) for record in good})
    return (
        "scaling: no trial of these runs that ended well was trained by a server and workers; "
        f"trainers there are: {', '.join(names) or 'none'}; run some with trainer.name 'wasap' "
        "or 'wassp', and trainer.workers 1 among them"
    )


APART = ("model", "topology", "optimizer", "backend")
"""Parts of a trial that a name tells only where they differ."""


def network_of(trial: Trial) -> dict[str, Any]:
    """What decides a trial but for who trains it, and the seed."""
    return {key: v for key, v in trial.spec().items() if key not in ("seed", "trainer")}


def named(trials: Sequence[Trial]) -> dict[str, str]:
    """Of the networks: data set and hidden layers, and whatever else tells them apart."""
    networks = {digest(network_of(trial), 8): trial for trial in trials}
    words: dict[str, list[str]] = {}
    for key, trial in networks.items():
        words[key] = [brief(trial.dataset), brief(trial.model.get("hidden", trial.model))]
    for part in APART:
        each = [getattr(trial, part) for trial in networks.values()]
        if len({repr(one) for one in each}) > 1:
            for key, trial in networks.items():
                words[key].append(told_apart(getattr(trial, part), each))
    plain = [{"batch_size": t.batch_size, "threads": t.threads} for t in networks.values()]
    for name in ("batch_size", "threads"):
        if varies(name, plain):
            for (key, _), values in zip(networks.items(), plain, strict=True):
                words[key].append(f"{name}={values[name]}")
    return {key: " ".join(parts) for key, parts in words.items()}
