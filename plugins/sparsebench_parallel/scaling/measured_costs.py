"""Finds the measured trials of networks trained by a server and workers, and derives the costs of
one worker and of the server.

A cell is the set of trials on one machine that differ only in the seed. A way of training is one
trainer with its parameters, but with any number of workers.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sparsebench.core.status import Status
from sparsebench.core.trial import Trial, digest
from sparsebench.errors import NothingMatched
from sparsebench.store.record import Record
from sparsebench.suite.labels import brief, distinct_label
from sparsebench_parallel.scaling.simulation import Costs

NEEDED = (
    "worker_step_seconds", "master_step_seconds", "bytes_sent_per_step", "link_latency_seconds",
    "link_bytes_per_second", "epoch_seconds",
)  # fmt: skip
"""Measures of a trial that the model needs."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Trials on one machine that differ only in the seed.

    workers  number of workers; 0 for a process that trains alone
    """

    workers: int
    records: list[Record] = field(repr=False)

    @property
    def trial(self) -> Trial:
        return self.records[0].trial

    @property
    def cores(self) -> float:
        """The trial's cores divided by its threads: the number of its processes that can run at
        once; at least 1."""
        record = self.records[0]
        own = record.settings.get("cores")
        cores = len(own) if own else int(record.machine.get("usable_cores") or 1)
        return max(1.0, cores / record.trial.threads)

    def mean(self, name: str) -> float | None:
        """The mean of a measure over the seeds that have it."""
        values = [record.measures.get(name) for record in self.records]
        found = [float(value) for value in values if value is not None]
        return statistics.fmean(found) if found else None

    def known(self, name: str) -> float:
        """The mean of a measure. Raises NothingMatched if it is unknown or negative."""
        value = self.mean(name)
        if value is None or value < 0:
            raise NothingMatched(
                f"trial {self.trial.id}: {name} is not known; expected trials of this version of "
                "sparsebench: run them again"
            )
        return value


@dataclass(frozen=True, eq=False)
class MeasuredTrainer:
    """One network trained in one way on one machine, with different numbers of workers.

    alone   the same network trained by one process; None if there is none
    cells   in ascending order of their numbers of workers; the first is used for the model
    """

    network: str
    trainer: str
    alone: Cell | None
    cells: list[Cell]

    @property
    def first(self) -> Cell:
        return self.cells[0]

    @property
    def synchronous(self) -> bool:
        """Whether a step waits for all workers, so that no staleness is recorded."""
        return all(cell.mean("staleness_mean") is None for cell in self.cells)

    @property
    def base_seconds(self) -> float:
        """The measured seconds of an epoch: with one process, or with the fewest workers if there
        is no such trial."""
        return (self.alone or self.first).known("epoch_seconds")


def ways(records: Iterable[Record]) -> list[MeasuredTrainer]:
    """The ways of training in the trials that ended well. Raises NothingMatched if no trial had a
    server and workers."""
    alone: dict[str, list[Record]] = {}
    parallel: dict[tuple[str, str], dict[int, list[Record]]] = {}
    trials, others = [], set()
    for record in records:
        if record.status != Status.OK:
            continue
        trial, measured = record.trial, record.measures.get
        trainer, workers = str(trial.trainer.get("name")), trial.trainer.get("workers")
        others.add(trainer)
        network = {key: v for key, v in trial.spec().items() if key not in ("seed", "trainer")}
        where = {"machine": str(record.machine.get("id", "")), "contended": record.contended}
        family = digest({**network, **where}, 8)
        if isinstance(workers, int) and all(measured(n) is not None for n in NEEDED):
            key = family, digest(_without_workers(trial), 8)
            parallel.setdefault(key, {}).setdefault(workers, []).append(record)
            trials.append(trial)
        elif trainer == "sequential" and measured("epoch_seconds") is not None:
            alone.setdefault(family, []).append(record)
    if not parallel:
        raise NothingMatched(
            "scaling: no trial of these runs that ended well was trained by a server and workers; "
            f"trainers there are: {', '.join(sorted(others)) or 'none'}; run some with "
            "trainer.name 'wasap' or 'wassp', and trainer.workers 1 among them"
        )
    trainers = [_without_workers(trial) for trial in trials]
    found = []
    for (family, _), by_workers in parallel.items():
        cells = [Cell(workers, by_workers[workers]) for workers in sorted(by_workers)]
        trial = cells[0].trial
        single = Cell(0, alone[family]) if family in alone else None
        label = distinct_label(_without_workers(trial), trainers)
        found.append(MeasuredTrainer(network_name(trial, trials), label, single, cells))
    return found


def _without_workers(trial: Trial) -> dict[str, Any]:
    return {key: value for key, value in trial.trainer.items() if key != "workers"}


def network_name(trial: Trial, trials: Sequence[Trial]) -> str:
    """Data set and hidden layers of a trial's network, such as `digits 100-100`, and every setting
    but the trainer in which those of `trials` differ that have the same."""
    words = _data_and_layers(trial)
    trials = [one for one in trials if _data_and_layers(one) == words]
    for part in ("model", "topology", "optimizer", "backend"):
        each = [getattr(one, part) for one in trials]
        if any(one != each[0] for one in each):
            words.append(distinct_label(getattr(trial, part), each))
    for name in ("batch_size", "threads"):
        if len({getattr(one, name) for one in trials}) > 1:
            words.append(f"{name}={getattr(trial, name)}")
    return " ".join(words)


def _data_and_layers(trial: Trial) -> list[str]:
    return [brief(trial.dataset), brief(trial.model.get("hidden", trial.model))]


def costs_of(way: MeasuredTrainer) -> Costs:
    """The costs for the simulation, from the trials with the fewest workers. If that is one worker,
    the seconds of an epoch that neither the server nor messages nor the gradient explain (gathering
    batches, packing, Python) are added to the worker's step."""
    cell, trial = way.first, way.first.trial
    samples = cell.mean("train_samples")
    if samples is None:  # a record from before there was that: its rate is over the steps alone
        rate, seconds = cell.known("samples_per_second"), cell.known("train_seconds")
        samples = max(1, rate * seconds / trial.epochs)
    sent = cell.known("bytes_sent_per_step") / (cell.workers if way.synchronous else 1)
    costs = Costs(
        samples=round(samples),
        batch=trial.batch_size,
        step_seconds=cell.known("worker_step_seconds"),
        serve_seconds=cell.known("master_step_seconds"),
        up_bytes=sent / 2,
        down_bytes=sent / 2,
        latency=cell.known("link_latency_seconds"),
        bandwidth=cell.known("link_bytes_per_second"),
        topology_seconds=(cell.mean("topology_seconds") or 0.0) / trial.epochs,
        topology_bytes=(cell.mean("topology_bytes_sent") or 0.0) / trial.epochs / cell.workers,
    )
    if cell.workers > 1:
        return costs
    rest = cell.known("epoch_seconds") - costs.epoch_end_seconds(1)
    rest -= sum(costs.cycle_seconds(size=size) for size in costs.batches(1)[0])
    more = max(0.0, rest) / (samples / trial.batch_size)
    return replace(costs, step_seconds=costs.step_seconds + more)
