"""Divides work among threads: a range of rows, or of connections, for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from sparsebench.core.worker import denormals

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


def by_part(kernel: Callable[..., None]) -> Callable[..., None]:
    """kernel(begin_part, end_part, bounds, ...), compiled without the GIL, as f(bounds, ...): a
    thread for each part.

    Compiling loops for numba's own threads takes three times as long.
    """

    @wraps(kernel)
    def run(bounds: Bounds, *arguments: Any) -> None:
        parts = bounds.size - 1
        others = [
            _pool(parts).submit(kernel, part, part + 1, bounds, *arguments)
            for part in range(1, parts)
        ]
        kernel(0, min(parts, 1), bounds, *arguments)
        for other in others:
            other.result()

    return run


_pools: dict[int, ThreadPoolExecutor] = {}
"""The threads of this process, by how many parts they were made for: started when there is work for
more than one. They inherit how the thread that starts them treats denormals."""


def _pool(parts: int) -> ThreadPoolExecutor:
    if parts not in _pools:
        _pools[parts] = ThreadPoolExecutor(parts - 1, thread_name_prefix="sparsebench-part")
    return _pools[parts]


def _flush() -> bool | None:
    """Whether the threads treat denormals as zero; None without any."""
    if not _pools:
        return None
    return all(pool.submit(denormals.flushes).result() for pool in _pools.values())


denormals.POOLS["parts"] = _flush

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads
