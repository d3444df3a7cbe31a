"""Prunings: hidden neurons that go for good. Light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from sparsebench.core.methods.step import TrainingStep

if TYPE_CHECKING:
    from sparsebench.core.arrays import Mask
    from sparsebench.core.sparse.csr import CsrMatrix


@dataclass(frozen=True)
class Importance:
    """Removes the hidden neurons whose importance, the sum of |incoming weights|, is lowest.

    start       first epoch, counted from 1, at whose end neurons are removed
    every       epochs between removals
    percentile  neurons whose importance is at or below this percentile, 0 to 100, are removed
    count_dead  count neurons already removed in the percentile, as the released code does
    outgoing    remove a neuron's outgoing connections too; the released code does not
    regrow      growth may connect a removed neuron again, as in the released code

    Curci et al. (2021), arXiv 2102.01732, importance pruning. The defaults are the schedule of the
    released parallel code, `wasap_sgd/train/model.py`; that of `set_mlp_sequential.py` is
    `start = 211, every = 10, percentile = 20`. Deviations, each with a switch:
    the percentile is over living neurons, outgoing connections go too, nothing grows back.
    """

    start: Annotated[int, Interval(gt=0)] = 221
    every: Annotated[int, Interval(gt=0)] = 20
    percentile: Annotated[float, Interval(ge=0, lt=100)] = 10.0
    count_dead: bool = False
    outgoing: bool = True
    regrow: bool = False

    def due(self, step: TrainingStep) -> bool:
        since = step.epoch - self.start
        return step.epoch_ended and not step.last_epoch and since >= 0 and since % self.every == 0

    def remove(self, W: CsrMatrix, alive: Mask) -> Mask:
        """(K,) the neurons to remove. A layer keeps at least one."""
        import numpy as np

        importance = W.row_sums_of_magnitude()
        counted = importance if self.count_dead else importance[alive]
        if counted.size == 0:
            return np.zeros(alive.size, dtype=bool)
        removed = np.asarray(alive & (importance <= np.percentile(counted, self.percentile)))
        if removed.sum() == alive.sum():
            removed[np.argmax(importance)] = False
        return removed
