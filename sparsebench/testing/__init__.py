"""The conformance kit: the checks we hold our own components to, for yours.

Each `check_*` takes a component and raises AssertionError with what is wrong. They need no
data set and take well under a second each (a backend may compile first, and is audited for a few)::

    from sparsebench.testing import check_topology
    from my_plugin import MyTopology

    def test_my_topology():
        check_topology(MyTopology(zeta=0.2))
"""

from __future__ import annotations

from sparsebench.testing.backends import check_backend, check_honesty, check_trajectory
from sparsebench.testing.components import (
    check_activation,
    check_dataset,
    check_initializer,
    check_loss,
    check_model,
    check_optimizer,
    check_schedule,
)
from sparsebench.testing.method_parts import (
    check_allocation,
    check_density_schedule,
    check_drop,
    check_grow,
    check_redistribution,
    check_update_schedule,
)
from sparsebench.testing.objectives import check_objective
from sparsebench.testing.observers import check_observer
from sparsebench.testing.topologies import check_pruning, check_topology

__all__ = [
    "check_activation",
    "check_allocation",
    "check_backend",
    "check_dataset",
    "check_density_schedule",
    "check_drop",
    "check_grow",
    "check_honesty",
    "check_initializer",
    "check_loss",
    "check_model",
    "check_objective",
    "check_observer",
    "check_optimizer",
    "check_pruning",
    "check_redistribution",
    "check_schedule",
    "check_topology",
    "check_trajectory",
    "check_update_schedule",
]
