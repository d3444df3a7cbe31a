"""Memory for activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.nn.aligned import aligned_empty


class Buffer:
    """Memory for a (rows, N) array whose N varies, taken once at its largest."""

    def __init__(self, rows: int, dtype: npt.DTypeLike = np.float32) -> None:
        self._rows = rows
        self._flat = aligned_empty(0, dtype)

    def view(self, rows: int, N: int) -> npt.NDArray[Any]:
        """(rows, N), contiguous; holds what the last user left."""
        if self._flat.size < self._rows * N:
            self._flat = aligned_empty(self._rows * N, self._flat.dtype)
        return self._flat[: rows * N].reshape(rows, N)

    @property
    def nbytes(self) -> int:
        return int(self._flat.nbytes)
