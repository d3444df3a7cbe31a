"""Simulated sparsity in torch, as in the code of most papers, but without avoidable slow
operations."""

from __future__ import annotations

import torch
from sparsebench_plugins.backends.dense_mask import DenseMaskLayer

from sparsebench.core.arrays import Matrix, Vector
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench_rivals import torch_optimizers
from sparsebench_rivals.params import RivalParams


class TorchDenseMask(RivalParams):
    """torch's dense products, DW times the mask, and torch's update. Work and memory are those of
    K x D weights, whatever the density."""

    truly_sparse = False

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> TorchDenseMaskLayer:
        return TorchDenseMaskLayer(W, bias, optimizer)


class TorchDenseMaskLayer(DenseMaskLayer):
    """A dense-mask layer whose numpy arrays are also used as tensors, so that a topology change
    affects both. The mask is None while the layer is full."""

    def __init__(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> None:
        super().__init__(W, bias, optimizer)
        tensor = torch.from_numpy
        self._w, self._dw = tensor(self.W), tensor(self.DW)
        self._state = [tensor(slot) for slot in self._slots]
        self._b, self._db = tensor(self._bias), tensor(self._bias_gradient)
        self._b_state = [tensor(slot) for slot in self._bias_slots]

    def forward(self, X: Matrix, Z: Matrix) -> None:
        torch.addmm(self._b[:, None], self._w, torch.from_numpy(X), out=torch.from_numpy(Z))

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        dz = torch.from_numpy(DZ)
        torch.mm(dz, torch.from_numpy(X).t(), out=self._dw)
        if self.M is not None:
            self._dw.mul_(torch.from_numpy(self.M))
        torch.sum(dz, 1, out=self._db)
        if DX is not None:
            torch.mm(self._w.t(), dz, out=torch.from_numpy(DX))

    def step(self, rate: float, t: int) -> None:
        torch_optimizers.update(self.optimizer, self._w, self._dw, self._state, rate, t, "weight")
        torch_optimizers.update(self.optimizer, self._b, self._db, self._b_state, rate, t, "bias")
