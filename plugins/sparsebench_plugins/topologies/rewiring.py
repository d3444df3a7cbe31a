"""Topologies that drop and grow."""

from __future__ import annotations

import numpy as np

from sparsebench.core.protocols import LayerView, Moment
from sparsebench.core.sparse.criteria import weakest_per_sign_dropped
from sparsebench.core.sparse.csr import Change
from sparsebench.core.sparse.growth import regrown_at_random
from sparsebench_plugins.topologies.fixed import Static
from sparsebench_plugins.topologies.params import SetParams


class SET(SetParams, Static):
    """Sparse evolutionary training: drop the weakest of each sign, grow as many at random.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update. Deviation: the
    paper ends with a drop that is not regrown; the released codes and this do not.
    """

    def due(self, moment: Moment) -> bool:
        if moment.last_step or (self.update_until is not None and moment.step > self.update_until):
            return False
        if self.update_every is None:
            return moment.epoch_ended and not moment.last_epoch
        return moment.step % self.update_every == 0

    def update(self, layer: LayerView, moment: Moment, rng: np.random.Generator) -> Change | None:
        if self.evolve == "all-but-last" and layer.index == layer.count - 1:
            return None
        keep = weakest_per_sign_dropped(layer.W.data, self.zeta)
        return regrown_at_random(layer, keep, rng, self.grown)
