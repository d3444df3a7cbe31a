"""The conformance kit: checks that all built-in components pass, for your own components.

Each `check_*` raises AssertionError with the reason if a component is wrong. It needs no data set
and takes less than a second, except for backends, which are compiled first and audited for a few
seconds::

    from sparsebench.testing import check_topology
    from my_plugin import MyTopology

    def test_my_topology():
        check_topology(MyTopology(zeta=0.2))
"""

from sparsebench.testing.backends import check_backend as check_backend
from sparsebench.testing.backends import check_honesty as check_honesty
from sparsebench.testing.backends import check_trajectory as check_trajectory
from sparsebench.testing.components import check_activation as check_activation
from sparsebench.testing.components import check_dataset as check_dataset
from sparsebench.testing.components import check_initializer as check_initializer
from sparsebench.testing.components import check_loss as check_loss
from sparsebench.testing.components import check_model as check_model
from sparsebench.testing.components import check_optimizer as check_optimizer
from sparsebench.testing.components import check_schedule as check_schedule
from sparsebench.testing.objectives import check_objective as check_objective
from sparsebench.testing.observers import check_observer as check_observer
from sparsebench.testing.topologies import check_allocation as check_allocation
from sparsebench.testing.topologies import check_density_schedule as check_density_schedule
from sparsebench.testing.topologies import check_drop as check_drop
from sparsebench.testing.topologies import check_grow as check_grow
from sparsebench.testing.topologies import check_pruning as check_pruning
from sparsebench.testing.topologies import check_redistribution as check_redistribution
from sparsebench.testing.topologies import check_topology as check_topology
from sparsebench.testing.topologies import check_update_schedule as check_update_schedule
