"""Methods that are made of general parts only (SET, RigL, GraNet, ...), with their papers'
defaults.

Free of heavy imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.core.methods.protocols import LayerUpdate
from sparsebench_plugins.topologies.dynamic import (
    DensitySchedule,
    Drop,
    Dynamic,
    Grow,
    Initializer,
    LaterBool,
    Steps,
    Until,
    Update,
    Zeta,
)

if TYPE_CHECKING:
    from sparsebench.core.methods.view import LayerView, NetworkView
    from sparsebench.core.sparse.csr import Change


@dataclass(frozen=True)
class SET(Dynamic):
    """Sparse evolutionary training: drop the weakest connections of each sign, grow the same number
    at random.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update. Deviation: the
    paper ends with a drop without growth; this method does not, and neither do the released codes.
    """

    drop: Drop = "per-sign"


@dataclass(frozen=True)
class RigL(Dynamic):
    """Drop the smallest magnitudes, grow where the gradient of a mini-batch is largest.

    Evci et al. (2020), arXiv 1911.11134, algorithm 1. As in the released code, a connection that is
    dropped and grown in the same update keeps its weight. Deviations: a full layer is updated like
    any other, and ties between magnitudes are not broken by noise (the released code adds N(0,
    1e-5)).
    """

    grown: Initializer = "zeros"
    update_every: Steps | None = 100
    update_until: Until | None = 0.75
    grow: Grow = "gradient"
    update: Update = "cosine"
    keeps_regrown: LaterBool = True
    replaces_step: LaterBool = True


@dataclass(frozen=True)
class GraNet(Dynamic):
    """Gradual pruning with zero-cost regeneration: the density falls, while RigL's drop and growth
    go on.

    Liu et al. (2021), arXiv 2106.10404, sparse-to-sparse. The weakest connections of all layers are
    pruned by the cubic schedule; then each layer drops and grows. Both end at the same step.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    update_every: Steps | None = 1000
    update_until: Until | None = 0.6875
    grow: Grow = "gradient"
    update: Update = "cosine"
    density_schedule: DensitySchedule = "cubic"
    keeps_regrown: LaterBool = True


@dataclass(frozen=True)
class SetItop(Dynamic):
    """SET that explores more positions: with many steps between updates, and a large drop fraction
    that falls as a cosine.

    Liu et al. (2021), arXiv 2102.02887, In-Time Over-Parameterization. Deviations: the smallest |w|
    are dropped, because the released code's drop per sign is correct only at a fraction of 1/2; the
    number of grown connections is exact and not only expected.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    update_every: Steps | None = 1500
    update: Update = "cosine"


@dataclass(frozen=True)
class RigLItop(Dynamic):
    """RigL with many steps between updates, so that each grown connection is trained well.

    Liu et al. (2021), arXiv 2102.02887. As in the released code, the mini-batch of an update is
    trained on too. Deviations: those of set-itop.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    update_every: Steps | None = 4000
    grow: Grow = "gradient"
    update: Update = "cosine"


@dataclass(frozen=True)
class MEST(Dynamic):
    """Drop the smallest |w| + gamma |g|, grow the same number at random.

    Yuan et al. (2021), arXiv 2110.14032. Deviations: updates are at the end of each epoch, in the
    released code of every fifth; that code drops by |w| only; the density is constant, while the
    paper's EM starts denser (see `density_schedule`).
    """

    grown: Initializer = "zeros"
    drop: Drop = "mest"


@dataclass(frozen=True)
class GMP(Dynamic):
    """Gradual magnitude pruning: the weakest weights of a full network are pruned step by step, and
    nothing grows back.

    Zhu and Gupta (2017), arXiv 1710.01878. The weakest weights of all layers are pruned together;
    for a target per layer as in the paper, use `density_schedule = { name = "cubic-from-dense",
    globally = false }`. The network is dense at first, so its memory is that of a full network.
    """

    zeta: Zeta = 0.0
    update_every: Steps | None = 100
    update_until: Until | None = 0.75
    density_schedule: DensitySchedule = "cubic-from-dense"


@dataclass(frozen=True)
class MagnitudePruning(Dynamic):
    """A full network is trained, pruned by magnitude once or in rounds, and trained further.

    rewinds  reset the remaining weights to their initial values: the lottery ticket

    Han et al. (2015), arXiv 1506.02626; Frankle and Carbin (2019), arXiv 1803.03635. Pruning
    happens within one training, so a ticket is trained for the remaining epochs only, while the
    paper trains it as long as the full network. Rewinding resets the optimizer's state of weights;
    biases and their state do not change. The network is dense until it is pruned.
    """

    zeta: Zeta = 0.0
    density_schedule: DensitySchedule = "rounds"
    rewinds: bool = False

    def why_not_compact(self) -> str | None:
        return "rewinds to weights by position" if self.rewinds else super().why_not_compact()

    def layer_updates(self, network: NetworkView) -> Iterator[LayerUpdate]:
        for index, update in enumerate(super().layer_updates(network)):
            if not self.rewinds or update.change is None or not update.change.dropped:
                yield update
            else:
                yield LayerUpdate(_rewound(network.layer(index), update.change), update.pruned)


def _rewound(layer: LayerView, change: Change) -> Change:
    """A change after which the kept connections have their initial weights."""
    import numpy as np

    from sparsebench.core.sparse.csr import Change, CsrPattern
    from sparsebench.seeds import generator

    W = layer.W
    full = CsrPattern.full(W.shape)
    values = layer.initializer.draw(full, full.nnz, generator(layer.seed, "init", layer.index))
    rows, columns = W.rows[change.keep], W.indices[change.keep]
    at = rows.astype(np.int64) * W.shape[1] + columns
    return Change(np.zeros_like(change.keep), rows, columns, values[at])


@dataclass(frozen=True)
class PALS(Dynamic):
    """Starts with a full network and makes it as sparse as the validation loss allows.

    Atashgahi et al. (2023), arXiv 2305.18382; see the density schedule `pals`. Needs validation
    samples. The method's density and epsilon are not used.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    grow: Grow = "gradient"
    update: Update = "cosine"
    density_schedule: DensitySchedule = "pals"


@dataclass(frozen=True)
class ACDC(Dynamic):
    """Alternates full and sparse phases; pruned connections come back with weight 0.

    Peste et al. (2021), arXiv 2106.12379; see the density schedule `full-and-sparse`. Phases change
    at the ends of epochs. Deviation: pruned connections lose their momentum.
    """

    zeta: Zeta = 0.0
    grown: Initializer = "zeros"
    density_schedule: DensitySchedule = "full-and-sparse"
