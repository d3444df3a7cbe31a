"""Methods that are sentences of general parts, each with its paper's defaults. Light."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class SET(Dynamic):
    """Sparse evolutionary training: drop the weakest of each sign, grow as many at random.

    Mocanu et al. (2018), doi 10.1038/s41467-018-04316-3, the topology update. Deviation: the
    paper ends with a drop that is not regrown; the released codes and this do not.
    """

    drop: Drop = "per-sign"


@dataclass(frozen=True)
class RigL(Dynamic):
    """Drop the smallest magnitudes, grow where the gradient of a mini-batch is largest.

    Evci et al. (2020), arXiv 1911.11134, algorithm 1. As released, a connection that is dropped
    and grown at once keeps its weight. Deviations: a full layer is updated like any other, and no
    noise breaks ties between magnitudes (the released code adds N(0, 1e-5)).
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

    Liu et al. (2021), arXiv 2106.10404, sparse-to-sparse. The weakest of all layers are pruned by
    the cubic schedule; then each layer drops and grows. Regeneration ends with the pruning.
    """

    zeta: Zeta = 0.5
    grown: Initializer = "zeros"
    update_every: Steps | None = 1000
    update_until: Until | None = 0.6875
    grow: Grow = "gradient"
    update: Update = "cosine"
    density_schedule: DensitySchedule = "cubic"
    keeps_regrown: LaterBool = True
