"""WASAP: a parameter server. Every gradient that arrives is a step."""

from __future__ import annotations

import math
import time
from typing import Any

from sparsebench.core.protocols import Network
from sparsebench_parallel.mpi.flat_values import Vector
from sparsebench_parallel.mpi.link import Link
from sparsebench_parallel.mpi.master import Master
from sparsebench_parallel.mpi.plan import Plan
from sparsebench_parallel.mpi.polling import until
from sparsebench_parallel.mpi.run_measures import RunMeasures
from sparsebench_parallel.mpi.topology_diff import retained


class Asynchronous(Master):
    """Only the worker whose gradient was applied is answered; the others go on computing with
    the weights they have. An epoch is as many steps as all parts together have batches."""

    def __init__(self, plan: Plan, network: Network, comm: Any, figures: RunMeasures) -> None:
        super().__init__(plan, network, comm, figures)
        self._per_epoch = sum(plan.batches)
        self._next = 0
        self._found = self._served = self.links[0]

    @property
    def per_epoch(self) -> int:
        return self._per_epoch

    def take(self, turn: int, rate: float, t: int) -> tuple[float, int]:
        with self.timers("train"):
            start = time.perf_counter()
            self._answer([self._served] if t > 1 and self._served.turns else [], t - 1)
            waited = until(self._one_arrived)
            link = self._served = self._found
            told = link.taken()
            loss, samples = float(told["loss"][0]), int(told["samples"][0])
            self.figures.arrived(told)
            self.figures.staleness.append(t - 1 - int(told["step"][0]))
            if math.isfinite(loss):
                self.network.step_by(self._current(link), rate, t)
            self._stepped(start, waited)
        return loss, samples

    def _one_arrived(self) -> bool:
        """Look at all, so that messages move on; of several the one is taken whose turn it is
        longest."""
        count = len(self.links)
        order = [(self._next + k) % count for k in range(count)]
        ready = [at for at in order if self.links[at].busy and self.links[at].arrived()]
        if ready:
            self._found, self._next = self.links[ready[0]], (ready[0] + 1) % count
        return bool(ready)

    def _current(self, link: Link) -> list[Vector]:
        """The gradient on the connections of today."""
        gradients = link.flat.views(link.buffer)
        if link.patterns is self.patterns:
            return gradients
        for number, (old, new) in enumerate(zip(link.patterns, self.patterns, strict=True)):
            if old is not new:
                entries = gradients[2 * number].size
                gradients[2 * number], kept = retained(old, new, gradients[2 * number])
                self.figures.retained(entries, kept)
        return gradients
