"""Where a torch layer's tensors live, and how numpy's arrays get there and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sparsebench.core.arrays import Array


@dataclass(frozen=True)
class Device:
    """A torch device. `shares`: tensors there are numpy's memory, so nothing is ever copied."""

    name: str
    shares: bool

    def put(self, array: Array) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.shares else tensor.to(self.name, copy=True)

    def zeros(self, size: int) -> torch.Tensor:
        return self.put(np.zeros(size, dtype=np.float32))

    def room(self, array: Array) -> torch.Tensor:
        """A tensor to write what `deliver` then brings to `array`."""
        tensor = torch.from_numpy(array)
        return tensor if self.shares else torch.empty_like(tensor, device=self.name)

    def deliver(self, tensor: torch.Tensor, array: Array) -> None:
        if not self.shares:
            torch.from_numpy(array).copy_(tensor)

    def array(self, tensor: torch.Tensor) -> Array:
        """Read only: shares memory with the tensor where the device does."""
        array: Array = tensor.cpu().numpy()
        return array


HOST = Device("cpu", shares=True)


def size_in_bytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
