"""Truly sparse layers on an NVIDIA GPU, with torch's csr tensors (cuSPARSE)."""

from __future__ import annotations

import torch

from sparsebench.core.arrays import Vector
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.errors import Unsupported
from sparsebench_rivals.params import RivalParams
from sparsebench_rivals.torch_csr import TorchCsrLayer
from sparsebench_rivals.torch_device import Device


class CudaCsr(RivalParams):
    """`torch-csr` on the GPU: weights, gradient, optimizer state and indices stay there.

    A layer is given numpy arrays and fills numpy arrays, so each call copies X or DZ to the GPU and
    Z or DX back: 4 N (D + K) bytes forward, and 4 N (2 D + K) backward. That is the protocol's
    cost, part of the measured time, and at low density most of it. Activations, dropout and the
    loss are the host's. A topology change brings weights and state to the host and
    back. Recorded memory is the host's.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> TorchCsrLayer:
        if not torch.cuda.is_available():
            raise Unsupported(
                f"backend 'cuda-csr' needs an NVIDIA GPU, and torch {torch.__version__} sees none"
            )
        return TorchCsrLayer(W, bias, optimizer, Device("cuda", shares=False))
