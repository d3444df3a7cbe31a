"""WASSP-SGD and WASAP-SGD: Curci et al. (2021), arXiv 2102.01732, parallel training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sparsebench.core.protocols import Network
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import Training
from sparsebench.core.training.steps import Batches, refuse_signals
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result, Work
from sparsebench.errors import Unsupported
from sparsebench_parallel.mpi.master import Asynchronous, Master, Synchronous
from sparsebench_parallel.mpi.messages import MASTER, FlatValues, Kind, receive_parcel
from sparsebench_parallel.mpi.phase_two import PhaseTwoState, lead_phase_two, train_alone
from sparsebench_parallel.mpi.plan import Plan, refuse_narrow_velocity
from sparsebench_parallel.mpi.run_measures import RunMeasures, probe_link
from sparsebench_parallel.mpi.worker import Worker
from sparsebench_parallel.params import Options, WasapParams, WasspParams
from sparsebench_parallel.partition import seed_of, stream_of

FIRST = 1
"""The rank of the first worker."""


class OverMpi:
    """Base class: a trainer whose processes are started by mpiexec. docs/parallel.md lists how it
    deviates from the paper."""

    options: Callable[[], Options]

    def warm_up(self, work: Work) -> None:
        warm_up(work)

    def run(self, work: Work) -> Result | None:
        """Train. Returns the result at the master, None at a worker.

        Raises Unsupported, in every process alike, for work that cannot be trained this way.
        """
        options, name = self.options(), f"trainer {type(self).__name__.lower()!r}"
        size = work.team.size if work.team is not None else 1
        if work.team is None or size != options.workers + 1:
            raise Unsupported(
                f"{name} with workers = {options.workers} needs {options.workers + 1} processes "
                f"that mpiexec starts together, and has {size}; `sparsebench run` starts them"
            )
        refuse_signals(work, name)
        if work.keeper is not None:
            raise Unsupported(f"{name} keeps no checkpoints; leave trial.checkpoint out")
        plan = Plan.of(options, work)
        if work.team.rank == MASTER:
            return lead(plan, work.team.comm)
        follow(plan, work.team.rank - FIRST, work.team.comm)
        return None


class Wasap(WasapParams, OverMpi):
    """Asynchronous: the master is a parameter server, and every gradient is a step."""


class Wassp(WasspParams, OverMpi):
    """Synchronous: a step applies the mean of all workers' gradients."""


def lead(plan: Plan, comm: Any) -> Result:
    """Run the training at the master, in which workers compute the gradients."""
    work, measures = plan.work, RunMeasures()
    kind: type[Master] = Synchronous if plan.options.synchronous else Asynchronous
    with work.meter.phase("build"):
        network = _built(plan, work)
        master = kind(plan, network, comm, measures)
        measures.latency, measures.rate = probe_link(comm, FIRST, 4 * master.flat.size)
        reporting = replace(work, progress=plan.progress(master.per_epoch))
        training = Training(
            reporting, network, master, on_change=master.on_change, scaled=plan.rate
        )
        for link in master.links:  # nothing is sent: all processes build the same network
            link.listen()
    training.run(1, plan.together)
    if training.diverged:
        master.close(Kind.STOP, training.step)
    elif plan.apart:
        lead_phase_two(plan, master, training, comm)
    result = training.result()
    return replace(result, measures={**result.measures, **measures.measures()})


def follow(plan: Plan, worker: int, comm: Any) -> None:
    """Run a worker, counted from 0, to the end of the training."""
    part = plan.part(worker)
    with part.meter.phase("build"):
        network = _built(plan, part, seed_of(part.seed, worker))
        if worker == 0:
            probe_link(comm, MASTER, 4 * FlatValues(network).size)
        own = Worker(part, network, Batches(part, network, stream_of(worker)))
    with part.meter.phase("train"):
        apart = own.run(plan.together, apart=plan.apart)
    if apart:
        start = PhaseTwoState(network, receive_parcel(comm, MASTER)[1])
        del own, network  # a new network is made of what was received
        train_alone(plan, part, start, worker, comm)


def _built(plan: Plan, work: Work, seed: int | None = None) -> Network:
    network = build_network(work, seed)
    if plan.corrects:
        refuse_narrow_velocity(network, work.optimizer)
    return network
