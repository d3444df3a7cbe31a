"""Decides how a training step is divided among threads: by samples, by blocks of connections, or by
neurons. A tile is a part of the batch that a kernel processes at a time.

By samples: one piece of work takes a tile of samples forward and backward through the whole
network, and adds the gradients to a partial sum. A second phase adds up the partial sums in order
and updates the weights. Activations stay in the cache of the core that wrote them, and threads
synchronise three times per step.

By blocks: there is a phase per layer and direction, whose pieces of work are blocks of connections;
weights are updated during the backward pass. This is for few samples and so many connections that
reading them takes most of the time.

By neurons: there is a phase per layer and direction, whose pieces of work are chunks of neurons.
This is for networks whose activations fit in no cache, and for few samples of many connections.

The choice, and the tiles, depend only on the network and the batch, so results are the same bit for
bit for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsebench_plugins.backends.numba_csr import arguments
from sparsebench_plugins.backends.numba_csr.arguments import LARGEST
from sparsebench_plugins.backends.numba_csr.simd import WIDTH as LANES

WIDTH = 64
"""Samples of a tile: eight AVX2 vectors of eight."""

SMALL = 32
"""Up to this many samples are not divided into two tiles."""

PIECES = 4
"""The most partial gradients; each takes 4 bytes per connection."""

TILE_BYTES = 16 * 2**20
"""A batch is split by samples only if the tile of the widest layer has at most this many bytes."""

BY_NEURONS = 4_000_000
"""Few samples are split by neurons if a pass takes at least this many multiply-adds."""

IN_CACHE = 200_000
"""The most connections for which a batch of 1 to 8 samples is split by samples and uses both csr
and the order by column. With more, reading the second order takes longer than the calls that it
saves."""


@dataclass(frozen=True)
class Split:
    """How a batch is divided.

    way        by what the work is divided among threads: "samples", "neurons" or "blocks"
    width      samples of a tile
    tiles      number of tiles
    per_piece  number of consecutive tiles whose gradients are added to one partial sum
    """

    way: Literal["samples", "neurons", "blocks"]
    width: int
    tiles: int
    per_piece: int

    @property
    def by_samples(self) -> bool:
        return self.way == "samples"

    @property
    def by_blocks(self) -> bool:
        return self.way == "blocks"

    @property
    def pieces(self) -> int:
        return -(-self.tiles // self.per_piece)


def split(
    N: int, widest: int, connections: int, itemsize: int, *, absorbs: bool, columns: bool,
    few_pieces: bool,
) -> Split:  # fmt: skip
    """Decide how to divide N samples.

    widest       the most neurons or features in an array of activations
    connections  number of connections of the network
    itemsize     bytes of an activation
    absorbs      whether the optimizer accepts a gradient in parts
    columns      whether the connections are already in the order by column
    few_pieces   whether there are at most PIECES pieces, as in training; else one for each tile
    """
    if N <= LARGEST and connections > IN_CACHE:
        return Split("neurons" if columns else "blocks", N, 1, 1)
    if N <= SMALL:
        width = -(-N // LANES) * LANES
    elif N < 2 * WIDTH:
        width = -(-N // 32) * 16
    else:
        width = WIDTH
    few = N <= SMALL and connections * N > BY_NEURONS
    if not few and widest * width * itemsize <= TILE_BYTES:
        tiles = -(-N // width)
        return Split("samples", width, tiles, -(-tiles // PIECES) if few_pieces else 1)
    layout = arguments.of(widest, N, itemsize) if absorbs else arguments.plain(N)
    tiles = N // layout.tile
    return Split("neurons", layout.tile, tiles, tiles)
