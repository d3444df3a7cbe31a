"""Arguments of kernels besides arrays: the layout of activations, and the numbers of an activation
unit and of an optimizer's update rule.

Kernels import this module and no optimizer, so that editing an optimizer recompiles no kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LARGEST = 8
"""The largest batch for which there are special kernels and an order of connections by blocks."""

CACHE = 2**20
"""Gathered activations of more bytes than this, the size of an L2 cache, are prefetched."""

TILE = 32
"""Samples per tile: 128 bytes per neuron, two cache lines."""

UNTILED = 24 * 2**20
"""Arrays of at most this many bytes are not tiled, because most of them stays in the last-level
cache."""

TILED = 64 * 2**20
"""Arrays whose tiles would have more bytes than this are not tiled. These limits are constants and
not the host's cache sizes, because the order of sums depends on them."""

BIT_GROUP = 16
"""The number of samples whose bits are stored together."""


class Layout(NamedTuple):
    """The layout of activations: sample n of neuron j is at (n // tile) step + j stride + n % tile.

    With one tile for the whole batch this is the plain (D, N) array; with tiles of 32 samples it is
    (N / 32, D, 32).
    """

    tile: int
    stride: int
    step: int


def plain(N: int) -> Layout:
    """The layout of a plain (D, N) array."""
    return Layout(N, N, 0)


def of(rows: int, N: int, itemsize: int, untiled: int = UNTILED, tiled: int = TILED) -> Layout:
    """The layout of (rows, N) activations inside a network: in tiles of TILE samples if the array
    has more than `untiled` bytes, a tile at most `tiled`, and N is a multiple of TILE; else plain.
    """
    pays = rows * N * itemsize > untiled and rows * TILE * itemsize <= tiled
    return Layout(TILE, TILE, rows * TILE) if pays and N % TILE == 0 else plain(N)


NONE, EVALUATE, TRAIN = 0, 1, 2


class UnitNumbers(NamedTuple):
    """The numbers of a piecewise linear activation with dropout at one step.

    mode       NONE: no activation; EVALUATE: no dropout, and no bits are stored; TRAIN
    above      factor of z >= 0, which includes dropout's scale
    below      the same for z < 0
    key        dropout's key for the step
    threshold  dropout's threshold; 0: no dropout
    row_bytes  bytes of a neuron's bits: the signs, and with dropout as many bits for kept outputs
    """

    mode: int
    above: np.float32
    below: np.float32
    key: np.uint32
    threshold: np.uint32
    row_bytes: int


NO_UNIT = UnitNumbers(NONE, np.float32(1), np.float32(1), np.uint32(0), np.uint32(0), 0)


def bit_bytes(N: int) -> int:
    """The bytes for one bit of each of N samples, rounded up to whole groups of BIT_GROUP."""
    return -(-N // BIT_GROUP) * (BIT_GROUP // 8)


KEEP, SGD, ADAM = 0, 1, 2
"""What a kernel does with the gradient: store it, or update the weights by SGD or Adam."""


class Rule(NamedTuple):
    """The numbers of an optimizer's update rule at one step.

    kind          KEEP, SGD or ADAM
    coupled       weight decay that is added to the gradient, as a factor of the weight
    shrink        factor of the weight by decoupled weight decay; 1: none
    rest1, rest2  1 - beta1, 1 - beta2
    unbias, rate  include Adam's bias corrections of this step
    tiny          number that Adam adds to the root in its denominator
    """

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
    """An array as float32; uint16 is read as bits of bfloat16."""
    return a if a.dtype == np.float32 else (a.astype(np.uint32) << 16).view(np.float32)


def rounded(a: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """float32 rounded to the bits of bfloat16, to nearest even."""
    bits = a.view(np.uint32)
    up = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(a), (bits >> 16) | 0x40, up).astype(np.uint16)
