"""Random numbers from a key and a counter: any of them, in any order, without a state.

Arithmetic is modulo 2^64. Where numba is switched off numpy warns of that: the callers
silence it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: the step of SplitMix64."""

U32 = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def bits(key, counter):
    """64 random bits: number `counter` of the stream `key`.

    SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195), which is made to be
    read at any place.
    """
    x = key + np.uint64(counter) * GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)
def below(bound, x):
    """floor(bound x / 2^64): 64 random bits to an integer below `bound`, which is below 2^32.

    Integers differ in probability by less than 2^-64: 1 in 2^32 of their own at most.
    """
    bound = np.uint64(bound)
    return np.int64(((x >> U32) * bound + (((x & LOW) * bound) >> U32)) >> U32)
