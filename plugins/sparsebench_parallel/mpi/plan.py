"""What master and workers know alike before the first message."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from sparsebench.core.training.steps import refuse_signals
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench_parallel.mpi.data_parts import Rows, rows_of
from sparsebench_parallel.mpi.rate_scaling import Scaling
from sparsebench_parallel.params import Options


@dataclass(frozen=True, eq=False)
class Plan:
    """options      with every default filled in
    work         the trial's, with as many epochs as are trained
    together     epochs of phase one; phase two is the rest
    batches      of each worker in an epoch
    """

    options: Options
    work: Work
    together: int
    batches: tuple[int, ...]

    @classmethod
    def of(cls, options: Options, work: Work) -> Plan:
        epochs = work.epochs + options.extra_pass
        together = math.floor((1 - options.local) * work.epochs + 1e-9) + options.extra_pass
        plan = cls(options, replace(work, epochs=epochs), max(1, together), ())
        sizes = [plan.rows(worker).size for worker in range(options.workers)]
        batches = tuple(math.ceil(size / work.batch_size) for size in sizes)
        return replace(plan, batches=batches)

    def rows(self, worker: int) -> Rows:
        """Training samples of a worker, counted from 0."""
        work, options = self.work, self.options
        samples = len(work.data.train)
        return rows_of(
            worker, options.workers, samples, work.batch_size, work.seed, options.remainder
        )

    @property
    def apart(self) -> bool:
        """Whether there is a phase two."""
        return self.together < self.work.epochs

    def shown(self, per_epoch: int) -> Callable[[int, int, float], None]:
        """The trial's progress, told in steps of one process, from steps of which `per_epoch` are
        an epoch."""
        work = self.work
        asked = work.epochs - self.options.extra_pass
        alone = math.ceil(len(work.data.train) / work.batch_size)
        share = asked * alone / (work.epochs * per_epoch)

        def progress(epoch: int, step: int, loss: float) -> None:
            work.progress(min(epoch, asked), math.ceil(step * share), loss)

        return progress

    def turns(self, worker: int) -> int:
        """Gradients that a worker sends in phase one."""
        return self.together * self.batches[worker]

    def scaling(self) -> Scaling | None:
        """Of the synchronous mode."""
        options = self.options
        if not options.synchronous or not options.scaling:
            return None
        return Scaling(
            options.workers,
            max(self.batches),
            options.warm_epochs,
            options.base,
            options.correction,
        )


def refuse(name: str, options: Options, work: Work) -> None:
    """Raise Unsupported for what cannot be trained so, in every process alike."""
    size = work.team.size if work.team is not None else 1
    if size != options.workers + 1:
        raise Unsupported(
            f"trainer {name!r} with workers = {options.workers} needs {options.workers + 1} "
            f"processes that mpiexec starts together, and has {size}; `sparsebench run` starts "
            "them"
        )
    refuse_signals(work, f"trainer {name!r}")
    if work.keeper is not None:
        raise Unsupported(f"trainer {name!r} keeps no checkpoints; leave trial.checkpoint out")
