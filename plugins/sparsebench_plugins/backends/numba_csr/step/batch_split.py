"""How a batch is cut: by samples, by blocks of connections, or by neurons.

By samples: a tile of them goes forward and back through the whole network in one piece of work, its
weights' gradients into a partial sum of its own; a second phase adds these up in order and updates.
Activations stay with the core that wrote them, and threads meet three times a step.

By blocks: a phase per layer and direction, its pieces the blocks of connections, which are updated
on the way back; for few samples of so many connections that these are the traffic.

By neurons: a phase per layer and direction, its pieces chunks of neurons, for networks whose
activations no cache holds, and for few samples of many connections.

Which of these, and the tiles, depend on the network and the batch alone: results are the same bit
for bit for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsebench_plugins.backends.numba_csr import arguments
from sparsebench_plugins.backends.numba_csr.arguments import LARGEST
from sparsebench_plugins.backends.numba_csr.simd import WIDTH as LANES

WIDTH = 64
"""Samples of a tile: eight vectors of eight, the registers of AVX2."""

SMALL = 32
"""Samples that are not worth two tiles."""

PIECES = 4
"""Partial gradients, at most: each costs 4 bytes a connection."""

TILE_BYTES = 16 * 2**20
"""Of a layer's tile, up to which a batch is split by samples."""

BY_NEURONS = 4_000_000
"""Multiply-adds of one pass from which on few samples are split by neurons."""

IN_CACHE = 200_000
"""Connections up to which few samples go through both orders of them; beyond, reading a second
order takes longer than the calls that it saves."""


@dataclass(frozen=True)
class Split:
    """How a batch is cut: `tiles` of `width` samples; `per_piece` of them share a gradient.

    way  "samples", "neurons" or "blocks", which the pieces of work are
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
    training: bool,
) -> Split:  # fmt: skip
    """How to cut N samples.

    widest   neurons or features of the widest array of activations
    absorbs  whether the optimizer takes a gradient in parts
    columns  whether the connections are in the order of large batches already
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
        return Split("samples", width, tiles, -(-tiles // PIECES) if training else 1)
    layout = arguments.of(widest, N, itemsize) if absorbs else arguments.plain(N)
    tiles = N // layout.tile
    return Split("neurons", layout.tile, tiles, tiles)
