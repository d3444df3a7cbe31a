"""Randomness: one named, independent stream per purpose."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream_key(purpose: str) -> int:
    """The 64-bit key of a purpose, from which its stream's seed is derived."""
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def generator(root: int, purpose: str, *indices: int) -> np.random.Generator:
    """The random stream of `purpose` under the seed `root`. Streams are independent, so adding a
    purpose changes no other stream.

    `indices` divide a purpose further (by layer, epoch or step), so that an additional draw in one
    of them does not change the next.

    Purposes in use: init, topology, rewire, shuffle, dropout, split, examples, data, partition,
    worker, noise, gibbs, and those of topology methods, such as candidates.
    """
    import numpy as np

    return np.random.default_rng([root, stream_key(purpose), *indices])
