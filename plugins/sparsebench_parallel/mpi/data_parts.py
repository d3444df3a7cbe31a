"""Who trains on what: a part of the training samples for each worker, for the whole training."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator
from sparsebench_parallel.partition import part_of

Rows = npt.NDArray[np.int64]

Remainder = Literal["keep", "drop"]


def rows_of(
    worker: int, workers: int, samples: int, batch_size: int, seed: int, remainder: Remainder
) -> Rows:
    """The rows of a worker, counted from 0: a contiguous part of the samples in an order that is
    drawn once; a single worker has them as they come.

    keep: every sample belongs to a worker, parts differ by one at most; drop: each has the same
    number of whole batches. Raises Unsupported where that is none.
    """
    rows = part_of(samples, workers, worker, seed)
    if remainder == "keep":
        return rows
    whole = samples // (workers * batch_size) * batch_size
    if whole == 0:
        raise Unsupported(
            f"trainer.remainder: {samples} training samples do not give a whole batch of "
            f"{batch_size} to each of {workers} workers; take fewer workers, smaller batches or "
            "remainder = 'keep'"
        )
    return rows[:whole]


def on_part(work: Work, rows: Rows) -> Work:
    """The work of one worker: the trial's, on its own training samples; it tells nobody."""
    return replace(
        work,
        data=replace(work.data, train=work.data.train.part(rows)),
        report=lambda record: None,
        progress=lambda epoch, step, loss: None,
    )


def stream_of(worker: int) -> tuple[int, ...]:
    """What is added to the name of the order of samples: the first worker's is that of a process
    alone."""
    return (worker,) if worker else ()


def seed_of(root: int, worker: int) -> int:
    """Of a worker's draws of dropout and topology; the first worker has the trial's."""
    return int(generator(root, "worker", worker).integers(2**63)) if worker else root
