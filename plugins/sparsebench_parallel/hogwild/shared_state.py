"""Memory shared by the processes of a trial: values, optimizer state, connections, progress."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Vector
from sparsebench.core.sparse.csr import CsrPattern, index_dtype

LINE = 64
"""Bytes of a cache line. Arrays start on one, and each worker's counters have their own."""


class SharedMemory:
    """An unnamed file that this process and those it forks later map into their memory."""

    def __init__(self) -> None:
        self.size = 0
        if hasattr(os, "memfd_create"):
            self._file = os.memfd_create("sparsebench")
        else:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())

    def mapped(self, size: int) -> mmap.mmap:
        """Map at least `size` bytes of the file into memory. The file grows if it is smaller.

        Raises MemoryError if the system has too little memory. Without that check, the process that
        first touches a page that cannot be provided would be killed.
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


@dataclass(frozen=True)
class SharedLayout:
    """The sizes of the arrays of a `SharedState`, as JSON data.

    shapes  (K, D) of each layer
    nnz     number of connections of each layer
    others  sizes of trained arrays other than weights and biases
    slots   number of arrays of optimizer state for each array of values
    """

    workers: int
    shapes: Sequence[Sequence[int]]
    nnz: Sequence[int]
    others: Sequence[int]
    slots: int


class SharedState:
    """The arrays of a network in shared memory: whoever changes them changes them for all workers.

    nbytes    bytes of all of them
    patterns  the positions of each layer's connections
    values    in the order of `Network.values`
    done      (workers,) number of steps made in this round
    loss      (workers,) loss of the last step
    stop      (workers,) not 0 if a loss is no longer finite
    optimizer_state  an array per slot for each of `values`
    """

    def __init__(self, layout: SharedLayout, memory: SharedMemory | None) -> None:
        """memory  where the arrays are; None: only `nbytes` is computed"""
        self.nbytes = 0
        size = SharedState(layout, None).nbytes if memory is not None else 0
        self._buffer = memory.mapped(size) if memory is not None else None
        marks = self._next_array(layout.workers * LINE, np.uint8).reshape(-1, LINE)
        self.done = marks.view(np.int64)[:, 0]
        self.loss = marks.view(np.float64)[:, 1]
        self.stop = marks.view(np.int64)[:, 2]
        self.patterns, sizes = [], []
        for (K, D), nnz in zip(layout.shapes, layout.nnz, strict=True):
            indptr = self._next_array(K + 1, index_dtype(nnz))
            indices = self._next_array(nnz, index_dtype(nnz))
            self.patterns.append(CsrPattern((K, D), indptr, indices))
            sizes += [nnz, K]
        sizes += layout.others
        self.values: list[Vector] = [self._next_array(size, np.float32) for size in sizes]
        self.optimizer_state: list[list[Vector]] = [
            [self._next_array(size, np.float32) for _ in range(layout.slots)] for size in sizes
        ]

    def _next_array(self, size: int, dtype: npt.DTypeLike) -> Array:
        start = -(-self.nbytes // LINE) * LINE
        self.nbytes = start + size * np.dtype(dtype).itemsize
        if self._buffer is None:
            return np.empty(0, dtype=dtype)
        return np.ndarray((size,), dtype, self._buffer, start)

    def write(
        self, patterns: Sequence[CsrPattern], values: Sequence[Vector], state: Sequence[Any]
    ) -> None:
        """Copy connections, values and optimizer state into the shared arrays. No other process may
        use these meanwhile."""
        for own, pattern in zip(self.patterns, patterns, strict=True):
            own.indptr[...], own.indices[...] = pattern.indptr, pattern.indices
        shared = [*self.values, *(slot for slots in self.optimizer_state for slot in slots)]
        arrays = [*values, *(slot for slots in state for slot in slots)]
        for array, new in zip(shared, arrays, strict=True):
            array[...] = new

    def new_round(self) -> None:
        self.done[...] = self.stop[...] = 0
        self.loss[...] = 0.0

    def layer_bytes(self, index: int) -> int:
        """Bytes of a layer's connections, values and optimizer state."""
        pattern, own = self.patterns[index], slice(2 * index, 2 * index + 2)
        state = [slot for slots in self.optimizer_state[own] for slot in slots]
        arrays = [pattern.indptr, pattern.indices, *self.values[own], *state]
        return sum(int(array.nbytes) for array in arrays)
