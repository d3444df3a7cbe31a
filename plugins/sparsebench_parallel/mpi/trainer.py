"""WASSP-SGD and WASAP-SGD: Curci et al. (2021), arXiv 2102.01732, parallel training."""

from __future__ import annotations

from dataclasses import replace

from sparsebench.core.training.build import build_network
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result, Work
from sparsebench_parallel.mpi.asynchronous import Asynchronous
from sparsebench_parallel.mpi.data_parts import on_part, seed_of, stream_of
from sparsebench_parallel.mpi.flat_values import FlatValues
from sparsebench_parallel.mpi.local_training import received, train_alone
from sparsebench_parallel.mpi.master import Master
from sparsebench_parallel.mpi.messages import MASTER, Kind
from sparsebench_parallel.mpi.model_averaging import phase_two
from sparsebench_parallel.mpi.plan import Plan, refuse
from sparsebench_parallel.mpi.rate_scaling import refuse_narrow_velocity
from sparsebench_parallel.mpi.run_measures import RunMeasures, probe_link
from sparsebench_parallel.mpi.synchronous import Synchronous
from sparsebench_parallel.mpi.worker import Worker
from sparsebench_parallel.params import Options, WasapParams, WasspParams

FIRST = 1
"""The rank of the first worker."""


class Wasap(WasapParams):
    """Asynchronous: a parameter server. Deviations from the paper: docs/parallel.md."""

    def warm_up(self, work: Work) -> None:
        warm_up(work)

    def run(self, work: Work) -> Result | None:
        return run("wasap", self.options(), work)


class Wassp(WasspParams):
    """Synchronous: a step is the mean of all workers' gradients."""

    def warm_up(self, work: Work) -> None:
        warm_up(work)

    def run(self, work: Work) -> Result | None:
        return run("wassp", self.options(), work)


def run(name: str, options: Options, work: Work) -> Result | None:
    """The result at the master, None at a worker."""
    refuse(name, options, work)
    assert work.team is not None
    plan = Plan.of(options, work)
    if work.team.rank == MASTER:
        return lead(plan, work.team.comm)
    follow(plan, work.team.rank - FIRST, work.team.comm)
    return None


def lead(plan: Plan, comm: object) -> Result:
    """The master: the one training loop, whose steps come from the workers."""
    work, figures, scaling = plan.work, RunMeasures(), plan.scaling()
    kind: type[Master] = Synchronous if plan.options.synchronous else Asynchronous
    with work.meter.phase("build"):
        network = build_network(work)
        if scaling is not None and scaling.correct:
            refuse_narrow_velocity(network, work.optimizer)
        master = kind(plan, network, comm, figures)
        size = 4 * master.flat.size
        figures.latency, figures.rate = probe_link(comm, FIRST, size)
        training = Training(
            replace(work, progress=plan.shown(master.per_epoch)), network, master,
            on_change=master.moved,
            scaled=scaling.rate if scaling is not None else None,
        )  # fmt: skip
        master.begin()
    training.run(1, plan.together)
    if training.diverged:
        master.close(Kind.STOP, training.step)
    elif plan.apart:
        phase_two(plan, master, training, comm)
    figures.bytes += master.bytes
    figures.topology_bytes += master.topology_bytes
    result = training.result()
    return replace(result, measures={**result.measures, **figures.measures()})


def follow(plan: Plan, worker: int, comm: object) -> None:
    """A worker, counted from 0."""
    scaling = plan.scaling()
    part = on_part(plan.work, plan.rows(worker))
    with part.meter.phase("build"):
        network = build_network(part, seed_of(part.seed, worker))
        if scaling is not None and scaling.correct:
            refuse_narrow_velocity(network, part.optimizer)
        if worker == 0:
            probe_link(comm, MASTER, 4 * FlatValues(network).size)
        batches = Batches(part, network, stream_of(worker))
        mine = Worker(part, network, batches)
    with part.meter.phase("train"):
        on = mine.run(plan.together, apart=plan.apart)
    if on:
        start = received(comm, network)
        del mine, batches, network  # a second one is made of what was received
        train_alone(plan, part, start, worker)
