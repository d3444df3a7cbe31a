"""Epochs of phase two: as rows of numbers to send, and merged over the workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.training.work import EpochRecord

Rows = npt.NDArray[np.float64]

PER_LAYER = ("connections", "dropped", "grown", "pruned")
SECONDS = ("data_seconds", "train_seconds", "topology_seconds")
NUMBERS = ("train_loss", "learning_rate", *SECONDS)


def rows(records: Sequence[EpochRecord]) -> Rows:
    """A row per epoch: NUMBERS, then PER_LAYER, each layer by layer."""
    return np.array(
        [
            [getattr(record, name) for name in NUMBERS]
            + [count for name in PER_LAYER for count in getattr(record, name)]
            for record in records
        ],
        dtype=np.float64,
    )


def merged(workers: Sequence[Rows]) -> Iterator[dict[str, Any]]:
    """Yield the EpochRecord fields of each epoch, merged over the workers that reached it: mean
    loss and counts, the first such worker's learning rate, and the timings of the slowest.
    Stops after the first epoch whose mean loss is not finite."""
    first, last = len(NUMBERS) - len(SECONDS), len(NUMBERS)
    for epoch in range(max(map(len, workers))):
        at = np.array([one[epoch] for one in workers if epoch < len(one)])
        slowest = at[at[:, first:last].sum(axis=1).argmax()]
        means = at.mean(axis=0)
        line: dict[str, Any] = {"train_loss": float(means[0]), "learning_rate": float(at[0, 1])}
        line |= zip(SECONDS, slowest[first:last].tolist(), strict=True)
        counts = means[last:].round().astype(int).reshape(len(PER_LAYER), -1)
        line |= zip(PER_LAYER, counts.tolist(), strict=True)
        yield line
        if not math.isfinite(line["train_loss"]):
            return
