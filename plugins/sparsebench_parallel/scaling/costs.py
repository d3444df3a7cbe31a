"""What a step costs where: the numbers that the model is made of."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one network trained in one way. Seconds are of a process that has a core to itself.

    samples, batch    of an epoch, and of a step of one worker at most
    step_seconds      a worker's for a whole batch: all that grows with the samples
    serve_seconds     the server's for one update
    up_bytes          of a gradient             latency           seconds of any message
    down_bytes        of the values             bandwidth         bytes a second of any link
    topology_seconds  an epoch's updates, at the server
    topology_bytes    an epoch's, to each worker
    """

    samples: int
    batch: int
    step_seconds: float
    serve_seconds: float
    up_bytes: float
    down_bytes: float
    latency: float
    bandwidth: float
    topology_seconds: float = 0.0
    topology_bytes: float = 0.0

    @property
    def steps(self) -> int:
        """Of an epoch of one worker."""
        return math.ceil(self.samples / self.batch)

    def compute_seconds(self, size: int) -> float:
        """A worker's for a gradient of `size` samples."""
        return self.step_seconds * size / self.batch

    def cycle_seconds(self, servers: int = 1, size: float | None = None) -> float:
        """From a worker's values to its next ones, if it waits for nobody."""
        share = 1.0 if size is None else size / self.batch
        there_and_back = (self.up_bytes + self.down_bytes) / self.bandwidth + 2 * self.latency
        return self.step_seconds * share + self.serve_seconds / servers + there_and_back

    def batches(self, workers: int) -> list[list[int]]:
        """Sizes of the batches of each worker; the samples are divided evenly."""
        return [list(_sizes(part, self.batch)) for part in parts(self.samples, workers)]

    def taking_part(self, workers: int, step: int) -> int:
        """How many workers have more than `step` batches in an epoch."""
        return _taking_part(self.samples, self.batch, workers, step)

    def epoch_end_seconds(self, workers: int, servers: int = 1) -> float:
        """The update of the topology, and the way to the workers of what it changed."""
        sent = workers * self.topology_bytes / self.bandwidth
        latency = self.latency if self.topology_bytes else 0.0
        return self.topology_seconds / servers + sent / servers + latency


def parts(samples: int, workers: int) -> list[int]:
    """How many samples each worker has; they differ by one at most."""
    bounds = [worker * samples // workers for worker in range(workers + 1)]
    return [end - begin for begin, end in pairwise(bounds)]


def _sizes(samples: int, batch: int) -> Iterator[int]:
    for start in range(0, samples, batch):
        yield min(batch, samples - start)


@lru_cache(maxsize=64)
def _counts(samples: int, batch: int, workers: int) -> list[int]:
    """Batches of each worker, rising."""
    return sorted(math.ceil(part / batch) for part in parts(samples, workers))


def _taking_part(samples: int, batch: int, workers: int, step: int) -> int:
    counts = _counts(samples, batch, workers)
    return len(counts) - bisect.bisect_right(counts, step)
