"""The learning rate of the synchronous mode: as many times as large as there are workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.protocols import Network, Optimizer
from sparsebench.errors import Unsupported

Array = npt.NDArray[Any]

CORRECTED = "velocity"
"""The optimizer's state that holds the rate of earlier steps."""


@dataclass(frozen=True)
class Scaling:
    """workers  times the rate, once warm          warm_up  epochs until then
    base     the rate at the start; None: the optimizer's, with its schedule
    correct  momentum correction: the velocity follows a change of the factor
    """

    workers: int
    per_epoch: int
    warm_up: int = 5
    base: float | None = None
    correct: bool = True

    def factor(self, t: int) -> float:
        """(workers - 1) epoch / warm_up + 1 with epochs from 0, `workers` from `warm_up` on."""
        epoch = (t - 1) // self.per_epoch
        share = min(1.0, epoch / self.warm_up) if self.warm_up else 1.0
        return (self.workers - 1) * share + 1

    def rate(self, scheduled: float, t: int) -> float:
        """The rate at step t, given what the optimizer's schedule says."""
        return (self.base if self.base is not None else scheduled) * self.factor(t)

    def correction(self, t: int) -> float:
        """What the velocity is multiplied by ahead of step t: v = m v - rate g remembers the
        rates of earlier steps. Goyal et al. (2017), arXiv 1706.02677, section 2.2."""
        if not self.correct or t == 1:
            return 1.0
        return self.factor(t) / self.factor(t - 1)


def scale_velocity(network: Network, optimizer: Optimizer, factor: float) -> None:
    """Multiply the velocity of all that is trained. Other rules keep no rate in their state."""
    if factor == 1 or CORRECTED not in optimizer.slots:
        return
    saved = {name: np.array(array) for name, array in network.saved()}
    for name in _velocities(saved, optimizer):
        saved[name] *= saved[name].dtype.type(factor)
    network.restore(saved)


def refuse_narrow_velocity(network: Network, optimizer: Optimizer) -> None:
    """Raise Unsupported where the velocity is kept as bits of a shorter type."""
    if CORRECTED not in optimizer.slots:
        return
    saved = dict(network.saved())
    if any(saved[name].dtype != np.float32 for name in _velocities(saved, optimizer)):
        raise Unsupported(
            "trainer.correction: momentum correction needs a float32 velocity, and the backend "
            "keeps a shorter type; set correction = false or the backend's momenta = 'float32'"
        )


def _velocities(saved: dict[str, Array], optimizer: Optimizer) -> list[str]:
    """Of layers by the slot's name, of units by its number."""
    ends = (CORRECTED, str(optimizer.slots.index(CORRECTED)))
    return [name for name in saved if "state." in name and name.rpartition(".")[2] in ends]
