"""One process, one network, one batch after the other."""

from __future__ import annotations

from sparsebench.core.training.loop import train
from sparsebench.core.training.warmup import warm_up
from sparsebench.core.training.work import Result, Work
from sparsebench_plugins.trainers.params import SequentialParams


class Sequential(SequentialParams):
    """The training loop as it stands."""

    def warm_up(self, work: Work) -> None:
        warm_up(work)

    def run(self, work: Work) -> Result:
        return train(work)
