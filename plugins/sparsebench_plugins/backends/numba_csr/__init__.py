"""Truly sparse layers with numba kernels: see `backend`, then `layer`."""

from sparsebench_plugins.backends.numba_csr.backend import NumbaCsr as NumbaCsr
