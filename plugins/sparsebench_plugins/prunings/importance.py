"""Importance pruning of hidden neurons."""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Mask
from sparsebench.core.methods.step import TrainingStep
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench_plugins.prunings.params import ImportanceParams


class Importance(ImportanceParams):
    """Removes the hidden neurons whose importance, the sum of |incoming weights|, is lowest.

    Curci et al. (2021), arXiv 2102.01732, importance pruning. Deviations, each with a switch:
    the percentile is over living neurons, outgoing connections go too, nothing grows back.
    """

    def due(self, step: TrainingStep) -> bool:
        since = step.epoch - self.start
        return step.epoch_ended and not step.last_epoch and since >= 0 and since % self.every == 0

    def remove(self, W: CsrMatrix, alive: Mask) -> Mask:
        """(K,) the neurons to remove. A layer keeps at least one."""
        importance = W.row_sums_of_magnitude()
        counted = importance if self.count_dead else importance[alive]
        if counted.size == 0:
            return np.zeros(alive.size, dtype=bool)
        limit = np.percentile(counted, self.percentile)
        doomed = np.asarray(alive & (importance <= limit))
        if doomed.sum() == alive.sum():
            doomed[np.argmax(importance)] = False
        return doomed
