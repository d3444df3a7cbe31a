"""Counts the positions of a matrix that were ever visited: exactly while they fit into memory, then
by a sketch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array

Keys = npt.NDArray[np.int64]

BYTES_EACH = 16
"""Memory per initial connection and neuron: the size of a connection's weight, column, gradient and
momentum."""


class Visited:
    """A set of positions of a (K, D) matrix in at most BYTES_EACH (nnz + K + D) bytes.

    It has one of three forms:

    - a bit per position, if all K D bits fit (density above about 1/128): always exact;
    - otherwise, sorted keys row D + column of 8 bytes, as long as they fit: exact;
    - after that, a bit per hash value: linear counting (Whang et al. 1990, ACM TODS 15(2), section
      3). With m bits of which a share V is zero, n is estimated as -m ln V. Its standard error is
      sqrt(m (exp(t) - t - 1)) with t = n / m, below 0.2 % of n for m = 10^6 up to t = 4. The
      estimate is at most K D, its value if no bit is zero.
    """

    def __init__(self, shape: tuple[int, int], nnz: int) -> None:
        """nnz  number of connections at the start"""
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
        """Add positions.

        keys  row D + column, strictly ascending
        """
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
        """The number of visited positions; a whole number if it is exact."""
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
        """The standard error of `count`, at most K D; 0 if the count is exact."""
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
    """The sorted union of two sorted arrays."""
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
