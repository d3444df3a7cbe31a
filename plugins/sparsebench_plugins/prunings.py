"""Prunings: which hidden neurons are removed for good. Free of heavy imports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from sparsebench.core.methods.training_position import TrainingStep

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
    `start = 211, every = 10, percentile = 20`. Deviations, each with a switch: the percentile is
    computed over living neurons, outgoing connections are removed too, and nothing grows back.
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

    def remove(self, W: CsrMatrix, alive: Mask, started: int) -> Mask:
        """(K,) the neurons to remove. A layer keeps at least one."""
        import numpy as np

        importance = W.row_sums_of_magnitude()
        counted = importance[alive]
        if self.count_dead:
            counted = np.append(importance, np.zeros(max(0, started - alive.size), np.float32))
        if counted.size == 0:
            return np.zeros(alive.size, dtype=bool)
        removed = np.asarray(alive & (importance <= np.percentile(counted, self.percentile)))
        if removed.sum() == alive.sum():
            removed[np.argmax(importance)] = False
        return removed


@dataclass(frozen=True)
class Neurons:
    """Removes hidden neurons repeatedly, those with the smallest incoming weights first, until a
    share of each layer is left.

    start   first epoch, counted from 1, at whose end neurons are removed
    every   epochs between removals
    share   share of a layer's living neurons that is removed each time
    least   share of a layer's neurons that is left in the end

    SET with neuron pruning, Liu et al. (2019), arXiv 1906.11626: about half of the hidden neurons
    are removed, and nothing grows back to them. Deviation: the paper's criterion was not found;
    here it is the sum of |incoming weights|, as in importance pruning.
    """

    start: Annotated[int, Interval(gt=0)] = 10
    every: Annotated[int, Interval(gt=0)] = 5
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    least: Annotated[float, Interval(gt=0, le=1)] = 0.5

    outgoing: ClassVar[bool] = True
    regrow: ClassVar[bool] = False

    def due(self, step: TrainingStep) -> bool:
        since = step.epoch - self.start
        return step.epoch_ended and not step.last_epoch and since >= 0 and since % self.every == 0

    def remove(self, W: CsrMatrix, alive: Mask, started: int) -> Mask:
        """(K,) the neurons to remove. A layer keeps at least one."""
        import numpy as np

        living = int(alive.sum())
        least = max(1, math.ceil(self.least * started))
        count = max(0, min(math.ceil(self.share * living), living - least))
        removed = np.zeros(alive.size, dtype=bool)
        importance = np.where(alive, W.row_sums_of_magnitude(), np.inf)
        removed[np.argsort(importance, kind="stable")[:count]] = True
        return removed
