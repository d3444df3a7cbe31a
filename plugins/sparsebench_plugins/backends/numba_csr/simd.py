"""The kernels with explicit vectors, under the names that `plain` gives their twins."""

from sparsebench_plugins.backends.numba_csr.narrow import backward as narrow_backward
from sparsebench_plugins.backends.numba_csr.narrow import forward as narrow_forward
from sparsebench_plugins.backends.numba_csr.units import activate, deactivate
from sparsebench_plugins.backends.numba_csr.wide import backward, forward, sum_rows

__all__ = [
    "activate",
    "backward",
    "deactivate",
    "forward",
    "narrow_backward",
    "narrow_forward",
    "sum_rows",
]
