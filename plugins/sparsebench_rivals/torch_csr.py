"""Truly sparse layers with torch's csr tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sparsebench.core.arrays import Array, Matrix, Vector
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix, CsrPattern
from sparsebench.errors import Unsupported
from sparsebench_rivals import torch_optimizers
from sparsebench_rivals.params import RivalParams
from sparsebench_rivals.transpose import Transposed


class TorchCsr(RivalParams):
    """torch.addmm on csr for the forward pass, torch.mm with a csr copy of W^T for DX, and
    sampled_addmm for the gradient of the weights.

    With W.t(), autograd would convert the whole matrix at every step, which took 4 times as long at
    4096 x 4096, 1 % dense, batch 128. The copy of W^T takes 12 bytes per connection.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> TorchCsrLayer:
        return TorchCsrLayer(W, bias, optimizer, HOST)


class TorchCsrLayer:
    """A layer whose weights, gradient, optimizer state and indices are tensors on the device.

    data      (nnz,) the weights; W (K, D) is a csr tensor over them
    gradient  (nnz,) the gradient; DW (K, D) is a csr tensor over it
    t_data    (nnz,) the weights by column, copied from `data` when DX is computed; W_t (D, K) is a
              csr tensor over them
    """

    def __init__(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer, device: Device) -> None:
        self.shape = W.shape
        self.optimizer = optimizer
        self._device = device
        self._bias = device.put(bias)
        self._bias_gradient = device.zeros(bias.size)
        self._bias_slots = [device.zeros(bias.size) for _ in optimizer.slots]
        self._place(W.pattern, W.data, [np.zeros_like(W.data) for _ in optimizer.slots])

    def _place(self, pattern: CsrPattern, data: Vector, slots: list[Vector]) -> None:
        """Copy the weights of this pattern and the optimizer state to the device."""
        K, D = self.shape
        put = self._device.put
        self.pattern = pattern
        self._data = put(data)
        self._slots = [put(slot) for slot in slots]
        self._gradient = self._device.zeros(pattern.nnz)
        self._t_data = self._device.zeros(pattern.nnz)
        by_row = (put(pattern.indptr), put(pattern.indices))
        across = Transposed.of(pattern)
        by_column = (put(across.indptr), put(across.rows))
        self._t_place = put(across.place)
        self._W = _csr(*by_row, self._data, (K, D))
        self._DW = _csr(*by_row, self._gradient, (K, D))
        self._W_t = _csr(*by_column, self._t_data, (D, K))
        self._indices = (*by_row, *by_column, self._t_place)

    @property
    def nnz(self) -> int:
        return self.pattern.nnz

    def forward(self, X: Matrix, Z: Matrix) -> None:
        z = self._device.room(Z)
        torch.addmm(self._bias[:, None], self._W, self._device.put(X), out=z)
        self._device.deliver(z, Z)

    def backward(self, X: Matrix, DZ: Matrix, DX: Matrix | None) -> None:
        dz = self._device.put(DZ)
        torch.sum(dz, 1, out=self._bias_gradient)
        if self.nnz:
            # beta = 0 still multiplies what is there, and a NaN would stay for ever
            self._gradient.zero_()
            x_t = self._device.put(X).t()
            torch.sparse.sampled_addmm(self._DW, dz, x_t, beta=0.0, out=self._DW)
        if DX is not None:
            dx = self._device.room(DX)
            torch.index_select(self._data, 0, self._t_place, out=self._t_data)
            torch.mm(self._W_t, dz, out=dx)
            self._device.deliver(dx, DX)

    def gradients(self) -> tuple[Vector, Vector]:
        return self._device.array(self._gradient), self._device.array(self._bias_gradient)

    def step(self, rate: float, t: int) -> None:
        rule = self.optimizer
        torch_optimizers.update(rule, self._data, self._gradient, self._slots, rate, t, "weight")
        torch_optimizers.update(
            rule, self._bias, self._bias_gradient, self._bias_slots, rate, t, "bias"
        )

    def step_by(self, DW: Vector, Db: Vector, rate: float, t: int) -> None:
        self._gradient.copy_(self._device.put(DW))
        self._bias_gradient.copy_(self._device.put(Db))
        self.step(rate, t)

    def assign(self, data: Vector, bias: Vector) -> None:
        self._data.copy_(self._device.put(data))
        self._bias.copy_(self._device.put(bias))

    def backward_and_step(
        self, X: Matrix, DZ: Matrix, DX: Matrix | None, rate: float, t: int
    ) -> None:
        self.backward(X, DZ, DX)
        self.step(rate, t)

    def weights(self) -> CsrMatrix:
        return CsrMatrix(self.pattern, self._device.array(self._data))

    def bias(self) -> Vector:
        return self._device.array(self._bias)

    def state(self) -> dict[str, Vector]:
        slots = [self._device.array(slot) for slot in self._slots]
        return dict(zip(self.optimizer.slots, slots, strict=True))

    def saved(self) -> Iterator[tuple[str, Vector]]:
        array = self._device.array
        for name, slot in zip(self.optimizer.slots, self._slots, strict=True):
            yield f"state.{name}", array(slot)
        for name, slot in zip(self.optimizer.slots, self._bias_slots, strict=True):
            yield f"bias_state.{name}", array(slot)

    def restore(self, saved: Mapping[str, Vector]) -> None:
        names, put = self.optimizer.slots, self._device.put
        self._slots = [put(saved[f"state.{name}"]) for name in names]
        self._bias_slots = [put(saved[f"bias_state.{name}"]) for name in names]

    def apply_change(self, change: Change) -> None:
        applied = AppliedChange(self.pattern, change)
        data = applied.carry(self._device.array(self._data), change.values)
        slots = [applied.carry(self._device.array(slot)) for slot in self._slots]
        self._place(applied.pattern, data, slots)

    def stored_bytes(self) -> dict[str, int]:
        """Bytes on the device; a device other than the host also holds the pattern's indices."""
        pattern = 0 if self._device.shares else self.pattern.indptr.nbytes
        pattern += 0 if self._device.shares else self.pattern.indices.nbytes
        return {
            "weights": size_in_bytes(self._data, self._t_data),
            "indices": size_in_bytes(*self._indices) + int(pattern),
            "optimizer": size_in_bytes(*self._slots),
            "gradient": size_in_bytes(self._gradient),
            "bias": size_in_bytes(self._bias, self._bias_gradient, *self._bias_slots),
        }


def _csr(
    indptr: torch.Tensor, indices: torch.Tensor, data: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """A csr tensor over these tensors, without a copy; the pattern is canonical already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(indptr, indices, data, size=shape, check_invariants=False)


@dataclass(frozen=True)
class Device:
    """A torch device. `shares` says whether its tensors use numpy's memory, so that nothing is
    copied."""

    name: str
    shares: bool

    def put(self, array: Array) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.shares else tensor.to(self.name, copy=True)

    def zeros(self, size: int) -> torch.Tensor:
        return self.put(np.zeros(size, dtype=np.float32))

    def room(self, array: Array) -> torch.Tensor:
        """A tensor for a result, which `deliver` then copies to `array`. If the device shares
        memory, it is the array's own memory."""
        tensor = torch.from_numpy(array)
        return tensor if self.shares else torch.empty_like(tensor, device=self.name)

    def deliver(self, tensor: torch.Tensor, array: Array) -> None:
        if not self.shares:
            torch.from_numpy(array).copy_(tensor)

    def array(self, tensor: torch.Tensor) -> Array:
        """The tensor as an array, read only. It shares the tensor's memory if the device does."""
        array: Array = tensor.cpu().numpy()
        return array


HOST = Device("cpu", shares=True)


def size_in_bytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class CudaCsr(RivalParams):
    """`torch-csr` on the GPU: weights, gradient, optimizer state and indices stay there.

    A layer is given numpy arrays and fills numpy arrays, so each call copies X or DZ to the GPU and
    Z or DX back: 4 N (D + K) bytes forward, and 4 N (2 D + K) backward. These copies are part of
    the measured time, and at low density most of it. The host computes activations, dropout and the
    loss. A topology change brings weights and state to the host and back. Recorded memory is the
    host's.
    """

    truly_sparse = True

    def layer(self, W: CsrMatrix, bias: Vector, optimizer: Optimizer) -> TorchCsrLayer:
        if not torch.cuda.is_available():
            raise Unsupported(
                f"backend 'cuda-csr' needs an NVIDIA GPU, and torch {torch.__version__} sees none"
            )
        return TorchCsrLayer(W, bias, optimizer, Device("cuda", shares=False))
