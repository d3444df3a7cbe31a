"""The order of an epoch's steps: which worker makes each, and where the barriers are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sparsebench.core.training.work import Work
from sparsebench_parallel.partition import part_bounds

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """Steps begin + 1 to end of an epoch, between two barriers."""

    epoch: int
    begin: int
    end: int

    @property
    def steps(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class StepOrder:
    """Assigns steps to workers: in turn, as long as they have batches left.

    batches  (workers,) number of batches of an epoch; the last of each may be smaller
    """

    batches: tuple[int, ...]

    @classmethod
    def of(cls, work: Work, workers: int) -> StepOrder:
        """Raises Unsupported where a worker would have no samples."""
        bounds = part_bounds(len(work.data.train), workers)
        parts = [end - begin for begin, end in pairwise(bounds)]
        return cls(tuple(math.ceil(part / work.batch_size) for part in parts))

    @property
    def per_epoch(self) -> int:
        return sum(self.batches)

    def places(self, worker: int) -> Positions:
        """Positions of a worker's batches among all batches of the epoch, from 0."""
        mine = np.arange(self.batches[worker])
        before = [np.minimum(count, mine) for count in self.batches]
        same_turn = [(count > mine).astype(np.int64) for count in self.batches[:worker]]
        places: Positions = np.sum([*before, *same_turn], axis=0, dtype=np.int64)
        return places
