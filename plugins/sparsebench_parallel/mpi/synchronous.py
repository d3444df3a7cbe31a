"""WASSP: a step waits for all workers and applies the mean of their gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.core.protocols import Network
from sparsebench_parallel.mpi.link import Link
from sparsebench_parallel.mpi.master import Master
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.polling import until
from sparsebench_parallel.mpi.rate_scaling import scale_velocity
from sparsebench_parallel.mpi.run_measures import RunMeasures


class Synchronous(Master):
    """The mean is by samples, so that it is the gradient of all the workers' batches as one.

    A worker whose part has no batch left in an epoch is passed over. Sums are taken in the order
    of the workers: the same seed gives the same result.
    """

    def __init__(self, plan: Plan, network: Network, comm: Any, figures: RunMeasures) -> None:
        super().__init__(plan, network, comm, figures)
        self._batches = plan.batches
        self._optimizer = plan.work.optimizer
        self._scaling = plan.scaling()

    @property
    def per_epoch(self) -> int:
        return max(self._batches)

    def take(self, turn: int, rate: float, t: int) -> tuple[float, int]:
        with self.timers("train"):
            start = time.perf_counter()
            due = [link for link, n in zip(self.links, self._batches, strict=True) if turn < n]
            self._answer(due if t > 1 else [], t - 1)
            waited = until(lambda: not [link for link in due if not link.arrived()])
            loss, samples = self._mean(due)
            if math.isfinite(loss):
                if self._scaling is not None:
                    factor = self._scaling.correction(t)
                    scale_velocity(self.network, self._optimizer, factor)
                self.network.step_by(self.flat.views(due[0].buffer), rate, t)
            self._stepped(start, waited)
        return loss, samples

    def _mean(self, due: Sequence[Link]) -> tuple[float, int]:
        """Leaves the mean gradient in the buffer of the first; mean loss and samples."""
        told = [link.taken()[0] for link in due]
        samples = sum(int(header["samples"]) for header in told)
        total = due[0].buffer
        loss = 0.0
        for link, header in zip(due, told, strict=True):
            share = int(header["samples"]) / samples
            loss += float(header["loss"]) * share
            self.figures.arrived(link.incoming)
            link.buffer *= np.float32(share)
            if link is not due[0]:
                total += link.buffer
        return loss, samples
