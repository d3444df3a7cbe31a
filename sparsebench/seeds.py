"""Randomness: one named, independent stream per purpose."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream_key(purpose: str) -> int:
    """64 bits that stand for a purpose."""
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def generator(root: int, purpose: str, *indices: int) -> np.random.Generator:
    """The stream of `purpose` under the seed `root`: adding a purpose moves no other.

    `indices` split a purpose further (a layer, an epoch, a step), so that a draw too
    many in one of them moves none of the next.

    Purposes in use: init, topology, rewire, shuffle, dropout, split, data, partition, worker,
    noise.
    """
    import numpy as np

    return np.random.default_rng([root, stream_key(purpose), *indices])
