"""Divides work among threads: each gets a range of rows or of connections."""

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
"""The number of connections above which several threads are faster. Below it, waiting for the other
threads can take longer than the work."""


@contextmanager
def threads_for(connections: int) -> Iterator[None]:
    """Within the block, use one thread if there are few connections, else the present number."""
    before = numba.get_num_threads()
    numba.set_num_threads(before if connections >= WORTH_THREADS else 1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def even_parts(size: int) -> Bounds:
    """(parts + 1,) bounds that divide 0..size into equal ranges, one for each thread."""
    threads = numba.get_num_threads()
    return np.arange(threads + 1, dtype=np.int64) * size // threads


def row_parts(indptr: npt.NDArray[Any]) -> Bounds:
    """(parts + 1,) bounds that divide the rows so that each thread gets about the same number of
    connections."""
    bounds = np.searchsorted(indptr, even_parts(int(indptr[-1]))).astype(np.int64)
    bounds[0], bounds[-1] = 0, indptr.size - 1
    return bounds


def by_part(kernel: Callable[..., None]) -> Callable[..., None]:
    """Decorates a compiled kernel(begin_part, end_part, bounds, ...) that releases the GIL. Returns
    a function f(bounds, ...) that runs it with a thread for each part.

    Used because compiling loops for numba's own threads takes three times as long.
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
"""The thread pools of this process by number of parts, started when first needed. Their threads
treat denormals as the thread does that starts them."""


def _pool(parts: int) -> ThreadPoolExecutor:
    if parts not in _pools:
        _pools[parts] = ThreadPoolExecutor(parts - 1, thread_name_prefix="sparsebench-part")
    return _pools[parts]


def _flush() -> bool | None:
    """Whether the threads treat denormals as zero; None if there are no threads."""
    if not _pools:
        return None
    return all(pool.submit(denormals.flushes).result() for pool in _pools.values())


denormals.POOLS["parts"] = _flush

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads
