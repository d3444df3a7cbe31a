"""Who trains on what: a part of the training samples for each worker, for the whole training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparsebench.core.data.samples import Samples
from sparsebench.core.training.work import Work
from sparsebench.errors import Unsupported
from sparsebench.seeds import generator
from sparsebench_plugins.trainers.partition import part_of

Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

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


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a whole, with their labels at hand."""

    whole: Samples
    rows: Rows
    labels: Labels

    @property
    def features(self) -> int:
        return self.whole.features

    def batch(self, rows: Rows) -> Matrix:
        return self.whole.batch(self.rows[rows])

    def fingerprint(self) -> str:
        return f"{self.whole.fingerprint()} in part: {self.rows.size} from {self.rows[0]}"


def on_part(work: Work, rows: Rows) -> Work:
    """The work of one worker: the trial's, on its own training samples; it tells nobody."""
    train = Part(work.data.train, rows, work.data.train.labels[rows])
    return replace(
        work,
        data=replace(work.data, train=train),
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
