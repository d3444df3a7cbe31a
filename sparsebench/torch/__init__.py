"""Truly sparse layers for torch, on the CPU.

from sparsebench.torch import SparseLinear, TopologyScheduler, sparsify
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "sparsebench.torch needs torch; get it with: pip install 'sparsebench[torch]'"
    ) from error

from sparsebench.torch.linear import SparseLinear, sparsify
from sparsebench.torch.topology import TopologyScheduler

__all__ = ["SparseLinear", "TopologyScheduler", "sparsify"]
