"""Normal noise on inputs, drawn again when it is needed instead of kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsebench.core.arrays import Matrix, Rows
from sparsebench.seeds import generator


class NormalNoise:
    """x + deviation * z with z normal: a function of seed, sample and feature.

    Philox is a counter-based generator (Salmon et al. 2011): a sample has counters of its own, so
    that its noise can be had at any time and in any order. fresh: also of the epoch.
    """

    def __init__(self, deviation: float, seed: int, fresh: bool) -> None:
        self._deviation = np.float32(deviation)
        self._fresh = fresh
        key = generator(seed, "noise").integers(2**64, size=2, dtype=np.uint64)
        self._bits: Any = np.random.Philox(key=key)
        self._draw = np.random.Generator(self._bits)
        self._state = self._bits.state

    def corrupted(self, X: Matrix, rows: Rows, epoch: int) -> Matrix:
        noise = np.empty((rows.size, X.shape[0]), dtype=np.float32)
        counter = self._state["state"]["counter"]
        for line, row in zip(noise, rows):
            counter[:] = 0, 0, row, epoch if self._fresh else 0
            self._bits.state = self._state
            self._draw.standard_normal(dtype=np.float32, out=line)
        noise *= self._deviation
        return np.add(X, noise.T, out=np.empty_like(X))
