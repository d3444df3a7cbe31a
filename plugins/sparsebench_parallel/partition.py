"""Assigns training samples and random streams to workers, which are counted from 0.

Worker 0 has the random streams of a single process, so a training with one worker equals a
sequential one.
"""

from __future__ import annotations

import numpy as np

from sparsebench.core.arrays import Rows
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator


def part_bounds(samples: int, workers: int) -> list[int]:
    """(workers + 1,) the index at which each worker's part of the samples begins, and the end. The
    sizes of the parts differ by at most one.

    Raises Unsupported if there are more workers than samples.
    """
    if workers > samples:
        raise Unsupported(
            f"trainer.workers: {workers} workers for {samples} training samples; "
            f"each needs one at least: set at most {samples}"
        )
    return [worker * samples // workers for worker in range(workers + 1)]


def part_of(
    samples: int, workers: int, worker: int, seed: int, whole_batches_of: int | None = None
) -> Rows:
    """The indices of a worker's samples: a contiguous part of a random order that depends on the
    seed, so that with a sorted data set no worker gets a single class. A single worker keeps the
    original order.

    whole_batches_of  a batch size: every worker gets the same number of whole batches, and the
                      remaining samples are not used. Raises Unsupported if that number is 0.
    """
    begin, end = part_bounds(samples, workers)[worker : worker + 2]
    order = np.arange(samples, dtype=np.int64)
    if workers > 1:
        order = generator(seed, "partition", workers).permutation(samples)
    if whole_batches_of is not None:
        whole = samples // (workers * whole_batches_of) * whole_batches_of
        if whole == 0:
            raise Unsupported(
                f"trainer.remainder: {samples} training samples do not give a whole batch of "
                f"{whole_batches_of} to each of {workers} workers; take fewer workers, smaller "
                "batches or remainder = 'keep'"
            )
        end = begin + whole
    return order[begin:end]


def stream_of(worker: int) -> tuple[int, ...]:
    """The numbers that extend the name of a worker's random stream "shuffle"; none for worker 0."""
    return (worker,) if worker else ()


def seed_of(root: int, worker: int) -> int:
    """The seed of a worker's dropout and topology updates, from the trial's; the same one for
    worker 0."""
    return int(generator(root, "worker", worker).integers(2**63)) if worker else root
