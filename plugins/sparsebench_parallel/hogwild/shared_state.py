"""Memory shared by the processes of a trial: values, optimizer state, connections, progress."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.protocols import Shape
from sparsebench.core.sparse.csr import CsrPattern, index_dtype

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float32]

LINE = 64
"""Bytes of a cache line. Arrays start on one, and each worker's counters have their own."""


class SharedMemory:
    """A file without a name, mapped by each process that was forked after it was made."""

    def __init__(self) -> None:
        self.size = 0
        self._file = _unnamed()

    def mapped(self, size: int) -> mmap.mmap:
        """At least `size` bytes, grown where they are more than there were.

        MemoryError where the system has none left: a page without memory behind it would end
        the process that touches it.
        """
        self.size = max(self.size, size, 1)
        if os.fstat(self._file).st_size < self.size:
            try:
                os.ftruncate(self._file, self.size)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self._file, 0, self.size)
            except OSError as error:
                raise MemoryError(f"no {self.size} bytes of shared memory: {error}") from None
        return mmap.mmap(self._file, self.size)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _unnamed() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sparsebench")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass(frozen=True)
class SharedLayout:
    """What a board holds.

    shapes  of the layers        nnz    of each layer
    others  sizes of what is trained beside weights and biases
    slots   arrays of optimizer state for each array of values
    """

    workers: int
    shapes: Sequence[Shape]
    nnz: Sequence[int]
    others: Sequence[int]
    slots: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SharedLayout:
        return cls(**{**data, "shapes": [(K, D) for K, D in data["shapes"]]})

    @property
    def size(self) -> int:
        """Bytes."""
        return SharedState(self, None).nbytes

    @property
    def values(self) -> list[int]:
        """Sizes, in the order of `Network.values`."""
        sizes = []
        for (K, _), nnz in zip(self.shapes, self.nnz, strict=True):
            sizes += [nnz, K]
        return [*sizes, *self.others]


class SharedState:
    """Arrays in shared memory: no copies.

    patterns  of the layers                        values  as `Network.values`
    state     of each of `values`, an array a slot
    done      (workers,) steps of the round        loss    (workers,) of the last of them
    stop      (workers,) not 0: a loss is no longer finite
    """

    def __init__(self, plan: SharedLayout, buffer: mmap.mmap | None) -> None:
        """Without a buffer, only `nbytes` means anything."""
        self._buffer = buffer
        self.nbytes = 0
        marks = self._cut(plan.workers * LINE, np.uint8).reshape(-1, LINE)
        self.done = marks.view(np.int64)[:, 0]
        self.loss = marks.view(np.float64)[:, 1]
        self.stop = marks.view(np.int64)[:, 2]
        self.patterns = [self._pattern(*one) for one in zip(plan.shapes, plan.nnz, strict=True)]
        self.values = [self._cut(size, np.float32) for size in plan.values]
        self.state = [
            [self._cut(size, np.float32) for _ in range(plan.slots)] for size in plan.values
        ]

    def _pattern(self, shape: Shape, nnz: int) -> CsrPattern:
        dtype = index_dtype(nnz)
        return CsrPattern(shape, self._cut(shape[0] + 1, dtype), self._cut(nnz, dtype))

    def _cut(self, size: int, dtype: npt.DTypeLike) -> Array:
        """The next array; begins on a line."""
        start = -(-self.nbytes // LINE) * LINE
        self.nbytes = start + size * np.dtype(dtype).itemsize
        if self._buffer is None:
            return np.empty(0, dtype=dtype)
        return np.ndarray((size,), dtype, self._buffer, start)

    def write(
        self, patterns: Sequence[CsrPattern], values: Sequence[Vector], state: Sequence[Any]
    ) -> None:
        """All of it, while nobody reads."""
        for mine, other in zip(self.patterns, patterns, strict=True):
            mine.indptr[...] = other.indptr
            mine.indices[...] = other.indices
        for value, new in zip(self.values, values, strict=True):
            value[...] = new
        for slots, news in zip(self.state, state, strict=True):
            for slot, new in zip(slots, news, strict=True):
                slot[...] = new

    def new_round(self) -> None:
        self.done[...] = self.stop[...] = 0
        self.loss[...] = 0.0

    def layer_bytes(self, index: int) -> int:
        """Of a layer's connections, values and state."""
        pattern, mine = self.patterns[index], slice(2 * index, 2 * index + 2)
        state = [slot for slots in self.state[mine] for slot in slots]
        arrays = [pattern.indptr, pattern.indices, *self.values[mine], *state]
        return sum(int(array.nbytes) for array in arrays)
