"""Dropout bits from a counter-based generator: the same for every backend, and never stored.

The bit of neuron k and sample n at step t in hidden layer l is a function of
(seed, l, t, k, n) only. A kernel can therefore compute it where it needs it, in any order, in
forward and again in backward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.seeds import generator

Bits = npt.NDArray[np.uint32]

GOLDEN = 0x9E3779B9
"""2^32 over the golden ratio: steps of this size spread counters evenly."""


def mix(x: Bits) -> Bits:
    """The 32-bit finaliser of MurmurHash3 (Appleby, public domain): every input bit flips
    every output bit with probability near a half."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x85EBCA6B)
    x = x ^ (x >> np.uint32(13))
    x = x * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


@dataclass(frozen=True)
class Dropout:
    """Dropout after one hidden layer: each output becomes 0 with probability `rate`, the others are
    multiplied by 1 / (1 - rate).

    key  random number of the layer, below 2^32, from which all bits are computed
    """

    rate: float
    key: int

    @classmethod
    def of_layer(cls, rate: float, seed: int, layer: int) -> Dropout | None:
        """The dropout of a hidden layer, counted from 1; None if the rate is 0."""
        if rate == 0.0:
            return None
        return cls(rate, int(generator(seed, "dropout", layer).integers(2**32)))

    @property
    def scale(self) -> np.float32:
        return np.float32(1.0 / (1.0 - self.rate))

    @property
    def threshold(self) -> np.uint32:
        """An output is dropped if its 32 random bits, read as an integer, are below this."""
        return np.uint32(min(round(self.rate * 2**32), 2**32 - 1))

    def step_key(self, t: int) -> np.uint32:
        """The key of step t; the bits are `mix(mix(key + k GOLDEN) + n GOLDEN)`."""
        counter = np.array([(self.key + t * GOLDEN) & 0xFFFFFFFF], dtype=np.uint32)
        return np.uint32(mix(counter)[0])

    def kept(self, shape: tuple[int, int], t: int) -> npt.NDArray[np.bool_]:
        """(K, N) mask of the outputs kept at step t."""
        K, N = shape
        golden = np.uint32(GOLDEN)
        rows = mix(np.arange(K, dtype=np.uint32) * golden + self.step_key(t))
        columns = np.arange(N, dtype=np.uint32) * golden
        return np.asarray(mix(rows[:, None] + columns[None, :]) >= self.threshold)
