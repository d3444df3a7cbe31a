"""Divides work among threads: a range of rows, or of connections, for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Bounds = npt.NDArray[np.int64]

WORTH_THREADS = 100_000
"""Connections from which on more than one thread is faster. Below, waiting for the others can
take longer than the work."""


@contextmanager
def threads_for(connections: int) -> Iterator[None]:
    """One thread for what is small, else as many as there were."""
    before = numba.get_num_threads()
    numba.set_num_threads(before if connections >= WORTH_THREADS else 1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def even_parts(size: int) -> Bounds:
    """(parts + 1,) bounds of ranges of 0..size, as many to each thread."""
    threads = numba.get_num_threads()
    return np.arange(threads + 1, dtype=np.int64) * size // threads


def row_parts(indptr: npt.NDArray[Any]) -> Bounds:
    """(parts + 1,) bounds of ranges of rows, about as many connections to each thread."""
    bounds = np.searchsorted(indptr, even_parts(int(indptr[-1]))).astype(np.int64)
    bounds[0], bounds[-1] = 0, indptr.size - 1
    return bounds
