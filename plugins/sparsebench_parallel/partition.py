"""Which samples are whose, where several processes share an epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparsebench.errors import Unsupported
from sparsebench.seeds import generator

Rows = npt.NDArray[np.int64]


def part_bounds(samples: int, workers: int) -> list[int]:
    """(workers + 1,) where each worker's part begins, and the end: sizes differ by one at most.

    Raises Unsupported where one would have none.
    """
    if workers > samples:
        raise Unsupported(
            f"trainer.workers: {workers} workers for {samples} training samples; "
            f"each needs one at least: set at most {samples}"
        )
    return [worker * samples // workers for worker in range(workers + 1)]


def part_of(samples: int, workers: int, worker: int, seed: int) -> Rows:
    """The rows of a worker, counted from 0: a contiguous part of all, in an order drawn once from
    the seed, so that a sorted set gives no worker one class. A single worker has all as they come.
    """
    begin, end = part_bounds(samples, workers)[worker : worker + 2]
    if workers == 1:
        return np.arange(samples, dtype=np.int64)
    return generator(seed, "partition", workers).permutation(samples)[begin:end]


def shuffled(rows: Rows, seed: int, epoch: int, worker: int) -> Rows:
    """These rows in the order of an epoch. Worker 0 draws as a single process does."""
    stream = (worker,) if worker else ()
    return rows[generator(seed, "shuffle", epoch, *stream).permutation(rows.size)]
