"""The plan of a parallel training (phases, parts and learning rates), which every process derives
from the trial in the same way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sparsebench.core.arrays import Array, Rows
from sparsebench.core.protocols import Network, Optimizer
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench_parallel.params import Options
from sparsebench_parallel.partition import part_of

VELOCITY = "velocity"
"""The optimizer's state that contains the learning rates of earlier steps."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a parallel training.

    options   the trainer's parameters with all defaults filled in
    work      the trial's work, whose `epochs` here include the extra pass, if there is one
    together  number of epochs in phase one; phase two has the rest
    batches   number of batches of each worker in an epoch
    """

    options: Options
    work: Work
    together: int
    batches: tuple[int, ...]

    @classmethod
    def of(cls, options: Options, work: Work) -> Plan:
        together = max(1, math.floor((1 - options.local) * work.epochs + 1e-9) + options.extra_pass)
        work = replace(work, epochs=work.epochs + options.extra_pass)
        plan = cls(options, work, together, ())
        sizes = [plan.rows(worker).size for worker in range(options.workers)]
        return replace(plan, batches=tuple(math.ceil(size / work.batch_size) for size in sizes))

    def rows(self, worker: int) -> Rows:
        """The indices of a worker's training samples."""
        work, options = self.work, self.options
        batch = work.batch_size if options.remainder == "drop" else None
        return part_of(len(work.data.train), options.workers, worker, work.seed, batch)

    def part(self, worker: int) -> Work:
        """The work of one worker: the trial's work on its own training samples, without reports."""
        data = self.work.data
        return replace(
            self.work,
            data=replace(data, train=data.train.part(self.rows(worker))),
            report=lambda record: None,
            progress=lambda epoch, step, loss: None,
        )

    @property
    def apart(self) -> bool:
        """Whether there is a phase two."""
        return self.together < self.work.epochs

    def progress(self, per_epoch: int) -> Callable[[int, int, float], None]:
        """A callback that reports progress to the trial, for a process that makes `per_epoch` steps
        in an epoch: its step numbers are converted to those of a training by one process."""
        work = self.work
        epochs = work.epochs - self.options.extra_pass
        alone = math.ceil(len(work.data.train) / work.batch_size)
        share = epochs * alone / (work.epochs * per_epoch)

        def progress(epoch: int, step: int, loss: float) -> None:
            work.progress(min(epoch, epochs), math.ceil(step * share), loss)

        return progress

    # --- the learning rate of the synchronous mode -------------------------------------------

    def rate(self, scheduled: float, t: int) -> float:
        """The learning rate at step t of phase one, from 1. Without the option `scaling` it is
        `scheduled`, the rate by the optimizer's schedule; with it, `base` times `factor(t)`, or
        `scheduled` times `factor(t)` if there is no `base`."""
        options = self.options
        if not options.scaling:
            return scheduled
        return (options.base if options.base is not None else scheduled) * self.factor(t)

    def factor(self, t: int) -> float:
        """The factor of the learning rate at step t, from 1: (workers - 1) epoch / warm_epochs + 1
        with epochs from 0, and `workers` after warm_epochs."""
        options, epoch = self.options, (t - 1) // max(self.batches)
        share = min(1.0, epoch / options.warm_epochs) if options.warm_epochs else 1.0
        return (options.workers - 1) * share + 1

    @property
    def corrects(self) -> bool:
        """Whether the velocity is rescaled when the learning rate is."""
        return self.options.scaling and self.options.correction

    def correction(self, t: int) -> float:
        """The factor with which the velocity is multiplied before step t, because v = m v - rate g
        contains the learning rates of earlier steps; 1 if there is no correction. Goyal et al.
        (2017), arXiv 1706.02677, section 2.2."""
        return self.factor(t) / self.factor(t - 1) if self.corrects and t > 1 else 1.0


def scale_velocity(network: Network, optimizer: Optimizer, factor: float) -> None:
    """Multiply the velocity of all trained values by `factor`. Does nothing for an optimizer that
    has no velocity, because no other state contains a learning rate."""
    if factor == 1 or VELOCITY not in optimizer.slots:
        return
    saved = {name: np.array(array) for name, array in network.saved()}
    for velocity in _velocities(saved, optimizer):
        np.multiply(velocity, factor, out=velocity)
    network.restore(saved)


def refuse_narrow_velocity(network: Network, optimizer: Optimizer) -> None:
    """Raise Unsupported if the backend keeps the velocity in a type shorter than float32."""
    if any(v.dtype != np.float32 for v in _velocities(dict(network.saved()), optimizer)):
        raise Unsupported(
            "trainer.correction: momentum correction needs a float32 velocity, and the backend "
            "keeps a shorter type; set correction = false or the backend's momenta = 'float32'"
        )


def _velocities(saved: Mapping[str, Array], optimizer: Optimizer) -> Iterator[Array]:
    """The velocities among the arrays of `Network.saved`. The names end in `velocity` for layers,
    and in its index in `optimizer.slots` for activation functions."""
    if VELOCITY in optimizer.slots:
        ends = (VELOCITY, str(optimizer.slots.index(VELOCITY)))
        for name, array in saved.items():
            if "state." in name and name.rpartition(".")[2] in ends:
                yield array
