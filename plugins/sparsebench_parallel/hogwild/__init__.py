"""Workers of one machine that share values and optimizer state without locks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sparsebench.core.training.build import build_network
from sparsebench.core.training.steps import refuse_signals
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result, Work
from sparsebench.core.worker.limits import threading_layer
from sparsebench.errors import Unsupported
from sparsebench_parallel.hogwild.rounds import Rounds, in_all
from sparsebench_parallel.hogwild.shared_update import WithoutState
from sparsebench_parallel.hogwild.step_order import StepOrder
from sparsebench_parallel.hogwild.worker_pool import WorkerPool
from sparsebench_parallel.params import HogwildParams


class Hogwild(HogwildParams):
    """Each worker takes the shared values, computes the gradient of a batch of its part of the
    samples, and applies it to what the values are by then; the topology changes at barriers.

    Niu et al. (2011), arXiv 1106.5730. Deviations: a gradient is of a batch and touches every
    connection, where theirs touches few; what it is computed on is a copy.
    """

    def fork(self, work: Work) -> Work:
        """The workers begin here: from the data on, nothing is copied that is not written."""
        if work.keeper is not None:
            raise Unsupported("hogwild keeps no checkpoints; leave trial.checkpoint out")
        refuse_signals(work, "hogwild")
        if not hasattr(os, "fork"):
            raise Unsupported("hogwild forks its workers, which this system cannot")
        if "numba" in sys.modules and threading_layer() is not None:
            raise Unsupported(
                "hogwild forks its workers, and this process has run threads of numba, which "
                "would not be there in a worker; run the trial in a process of its own"
            )
        StepOrder.of(work, self.workers)
        return replace(work, team=WorkerPool(work, self.workers))

    def warm_up(self, work: Work) -> None:
        """This process first, so that the workers find what it has compiled."""
        warm_up(work)
        if isinstance(work.team, WorkerPool):
            work.team.ask({"do": "warm up"})

    def run(self, work: Work) -> Result:
        if not isinstance(work.team, WorkerPool):
            work = self.fork(work)
        pool = work.team
        assert isinstance(pool, WorkerPool)
        try:
            return self._train(work, pool)
        finally:
            pool.end()

    def _train(self, work: Work, pool: WorkerPool) -> Result:
        alone = replace(work, optimizer=WithoutState(work.optimizer))
        with work.meter.phase("build"):
            network = build_network(alone)
            rounds = Rounds(alone, network, pool, len(work.optimizer.slots))
        rounds.run(1, work.epochs)
        result = rounds.result()
        answers = pool.ask({"do": "finish"})
        _add_peaks(work.meter, answers)
        layers = [
            {**facts, "stored_bytes": {**facts["stored_bytes"], "shared": shared}}
            for index, facts in enumerate(result.layers)
            for shared in (rounds.board.layer_bytes(index),)
        ]
        measures = result.measures | in_all(rounds, result.measures, answers)
        return replace(result, measures=measures, layers=layers)


def _add_peaks(meter: Any, answers: Sequence[dict[str, Any]]) -> None:
    """The net peak is this process's, with the shared memory, and each worker's without it.

    The workers' peaks need not have been at one moment, so it is never too little.
    """
    if not hasattr(meter, "go_on"):
        return
    own = meter.net_peak_bytes()
    if own is not None:
        net = own + sum(answer["net_peak_bytes"] for answer in answers)
        meter.go_on({"phases": {}, "peak_rss_bytes": 0, "net_peak_bytes": net})
