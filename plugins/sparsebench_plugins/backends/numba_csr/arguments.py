"""What kernels take beside arrays: the layout of activations, the numbers of a unit and of a rule.

Kernels import this and no optimizer, so that editing an optimizer compiles nothing anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LARGEST = 8
"""The largest batch that has an order and kernels of its own."""

CACHE = 2**20
"""Bytes of gathered activations above which they are prefetched: a second-level cache."""

TILE = 32
"""Samples per tile: 128 bytes a neuron, two cache lines."""

UNTILED = 24 * 2**20
"""Bytes up to which an array is plain: most of it stays in a last-level cache."""

TILED = 64 * 2**20
"""Bytes of a tile up to which tiles pay. Numbers and not the host's: the order of sums depends
on them."""

BIT_GROUP = 16
"""Samples whose bits are stored together."""


class Layout(NamedTuple):
    """Sample n of neuron j lies at (n // tile) step + j stride + n % tile.

    One tile of the whole batch is the plain (D, N) array; tiles of 32 are (N / 32, D, 32).
    """

    tile: int
    stride: int
    step: int


def plain(N: int) -> Layout:
    """The layout of a plain (D, N) array."""
    return Layout(N, N, 0)


def of(rows: int, N: int, itemsize: int, untiled: int = UNTILED, tiled: int = TILED) -> Layout:
    """The layout of (rows, N) activations inside a network: in tiles where they pay."""
    pays = rows * N * itemsize > untiled and rows * TILE * itemsize <= tiled
    return Layout(TILE, TILE, rows * TILE) if pays and N % TILE == 0 else plain(N)


NONE, EVALUATE, TRAIN = 0, 1, 2


class UnitNumbers(NamedTuple):
    """A piecewise linear activation with dropout at one step.

    mode       NONE: z as it is; EVALUATE: no dropout, nothing kept; TRAIN
    above      factor of z >= 0, dropout's scale included; below likewise
    key        dropout's key of the step; threshold 0: no dropout
    row_bytes  of a neuron's bits: signs, and with dropout as many that say what it keeps
    """

    mode: int
    above: np.float32
    below: np.float32
    key: np.uint32
    threshold: np.uint32
    row_bytes: int


NO_UNIT = UnitNumbers(NONE, np.float32(1), np.float32(1), np.uint32(0), np.uint32(0), 0)


def bit_bytes(N: int) -> int:
    """Bytes of one bit for each of N samples, in whole groups."""
    return -(-N // BIT_GROUP) * (BIT_GROUP // 8)


KEEP, SGD, ADAM = 0, 1, 2
"""A kernel keeps the gradient, or updates the weights by SGD or Adam."""


class Rule(NamedTuple):
    """shrink: 1 - decoupled decay; unbias, rate: with Adam's corrections at this step."""

    kind: int
    rate: np.float32
    coupled: np.float32
    shrink: np.float32
    momentum: np.float32
    nesterov: bool
    beta1: np.float32
    rest1: np.float32
    beta2: np.float32
    rest2: np.float32
    unbias: np.float32
    tiny: np.float32


def widened(a: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """float32 as it is; bfloat16 bits as float32."""
    return a if a.dtype == np.float32 else (a.astype(np.uint32) << 16).view(np.float32)


def rounded(a: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """float32 to bfloat16 bits, to nearest even."""
    bits = a.view(np.uint32)
    up = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(a), (bits >> 16) | 0x40, up).astype(np.uint16)
