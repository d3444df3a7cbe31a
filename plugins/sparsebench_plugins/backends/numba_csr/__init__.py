"""Truly sparse layers with numba kernels: see `backend`, then `layer`.

A unit is the activation function of a layer and the dropout after it. A tile is a part of the batch
whose samples are stored together (`arguments.Layout`).
"""

from sparsebench_plugins.backends.numba_csr.backend import NumbaCsr as NumbaCsr
