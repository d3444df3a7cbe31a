"""The positions of a matrix that were ever visited: exact while they fit, then a sketch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array

Keys = npt.NDArray[np.int64]

BYTES_EACH = 16
"""Memory per initial connection and neuron: as much as weight, column, gradient and momentum of a
connection take."""


class Visited:
    """A set of positions of a (K, D) matrix in at most BYTES_EACH (nnz + K + D) bytes.

    Three forms, in this order:

    - a bit per position, where all K D fit: exact for good (density above about 1/128);
    - sorted keys row D + column, 8 bytes each, while they fit: exact;
    - a bit per hash value: linear counting (Whang et al. 1990, ACM TODS 15(2), section 3). With m
      bits of which a share V is zero, n is estimated as -m ln V; its standard error is
      sqrt(m (exp(t) - t - 1)) with t = n / m, below 0.2 % of n for m = 10^6 up to t = 4. It never
      exceeds K D, to which it goes when no bit is zero.
    """

    def __init__(self, shape: tuple[int, int], nnz: int) -> None:
        """nnz  connections at the start"""
        K, D = shape
        self.possible = K * D
        self._bytes = BYTES_EACH * (nnz + K + D)
        self._keys: Keys | None = None
        self._bits: npt.NDArray[np.uint8] | None = None
        if self._is_small:
            self._bits = np.zeros(-(-self.possible // 8), dtype=np.uint8)
        else:
            self._keys = np.empty(0, dtype=np.int64)

    def add(self, keys: Keys) -> None:
        """keys  row D + column, strictly rising"""
        if self._keys is not None:
            self._keys = _union(self._keys, keys)
            if self._keys.nbytes <= self._bytes:
                return
            keys, self._keys = self._keys, None
            self._bits = np.zeros(self._bytes, dtype=np.uint8)
        assert self._bits is not None
        at = keys if self._is_small else _hashed(keys) % np.uint64(8 * self._bytes)
        at = at.astype(np.int64, copy=False)
        np.bitwise_or.at(self._bits, at >> 3, np.uint8(1) << (at & 7).astype(np.uint8))

    def count(self) -> float:
        """Positions visited; a whole number where exact."""
        if self._keys is not None:
            return self._keys.size
        ones = self._ones()
        if self._is_small:
            return ones
        bits = 8 * self._bytes
        if ones == bits:
            return self.possible
        return min(-bits * math.log1p(-ones / bits), float(self.possible))

    def standard_error(self) -> float:
        """Standard error of `count`; 0 where the count is exact, at most K D."""
        if self._keys is not None or self._is_small:
            return 0.0
        bits = 8 * self._bytes
        load = min(self.count() / bits, math.log(bits))
        return min(math.sqrt(bits * (math.exp(load) - load - 1)), float(self.possible))

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self._keys, self._bits) if array is not None)

    def saved(self) -> Iterator[tuple[str, Array]]:
        yield "bytes", np.array(self._bytes)
        if self._keys is not None:
            yield "keys", self._keys
        if self._bits is not None:
            yield "bits", self._bits

    def restore(self, saved: Mapping[str, Array]) -> None:
        self._bytes = int(saved["bytes"])
        self._keys = saved.get("keys")
        self._bits = saved.get("bits")

    @property
    def _is_small(self) -> bool:
        """Whether each possible position has a bit of its own, so that counts are exact."""
        return self.possible <= 8 * self._bytes

    def _ones(self) -> int:
        assert self._bits is not None
        return int(np.bitwise_count(self._bits).sum(dtype=np.int64))


def _union(old: Keys, new: Keys) -> Keys:
    """The union of two rising arrays, rising."""
    at = np.searchsorted(old, new)
    known = np.zeros(new.size, dtype=bool)
    inside = at < old.size
    known[inside] = old[at[inside]] == new[inside]
    return np.insert(old, at[~known], new[~known])


def _hashed(keys: Keys) -> npt.NDArray[np.uint64]:
    """Splitmix64's finaliser (Steele et al. 2014, doi 10.1145/2660193.2660195): 64 mixed bits."""
    z = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
