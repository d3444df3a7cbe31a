"""Messages between master and workers: headers of fixed size, float32 arrays, and parcels of
named arrays. Nothing is pickled.

A process that waits polls with pauses. A blocking receive of MPI spins, which would occupy the
core of a worker if there are more processes than cores.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.arrays import Array, Vector
from sparsebench.core.protocols import Network

MASTER = 0
"""The rank that holds the weights. Worker k, from 0, has rank k + 1."""

YIELDS = 20
"""Polls that only yield the core, before the first sleep."""

LONGEST = 100e-6
"""Longest sleep between two polls, in seconds: about what a wake-up takes anyway."""

PATIENT = 5e-3
"""Longest sleep between two polls, in seconds, for waits of minutes."""


class Tag(IntEnum):
    """MPI tags of messages; part n of a gradient (see `FlatValues.parts`) has GRADIENT + n."""

    HEADER = 1
    VALUES = 2
    TABLE = 3
    POSITIONS = 4
    PARCEL = 5
    PROBE = 6
    GRADIENT = 100


class Kind(IntEnum):
    """What a worker does after a header of the master: take a step, end, or train alone."""

    STEP = 0
    STOP = 1
    ALONE = 2


FROM_MASTER = np.dtype(
    [("kind", "<i8"), ("step", "<i8"), ("positions", "<i8"), ("width", "<i8"), ("paused", "<f8")]
)
"""kind       a Kind
step       number of the master's updates so far
positions  integers that describe the change of topology, 0 if there is none; `width` bytes each
paused     seconds spent between epochs, in evaluation and the like, since this worker's last header
"""

FROM_WORKER = np.dtype(
    [("step", "<i8"), ("samples", "<i8"), ("loss", "<f8")]
    + [(name, "<f8") for name in ("computed", "busy", "waited")]
)
"""step      number of the master's updates in the weights from which the gradient was computed
computed  seconds of forward and backward
waited    seconds spent waiting for weights since the last header, without pauses between epochs
busy      seconds since the last header, `computed` included, without those waits and pauses
"""


class FlatValues:
    """The positions that the arrays of `Network.values` have in a single float32 array.

    size   number of its elements
    parts  slices of it that are sent as one message each: the weights and biases of each layer, and
           the parameters of all activation functions if there are any
    """

    def __init__(self, network: Network) -> None:
        sizes = [size for layer in network.layers for size in (layer.nnz, layer.shape[0])]
        units = [array.size for array in network.parameters().values()]
        self._bounds = [0, *accumulate(sizes + units)]
        self.size = self._bounds[-1]
        starts = self._bounds[0 : len(sizes) + 1 : 2]
        self.parts = [slice(a, b) for a, b in pairwise([*starts, self.size] if units else starts)]

    def views(self, flat: Vector) -> list[Vector]:
        """Views of the arrays in a flat array, in the order of `Network.values`."""
        return [flat[a:b] for a, b in pairwise(self._bounds)]

    def packed(self, values: Sequence[Vector], into: Vector | None = None) -> Vector:
        """The values in one array: in `into` if its size fits, else in a new one."""
        flat = self.fitting(into)
        for view, array in zip(self.views(flat), values, strict=True):
            view[...] = array
        return flat

    def fitting(self, flat: Vector | None = None) -> Vector:
        """`flat` itself if it has this size, else a new array, not initialised."""
        if flat is None or flat.size != self.size:
            return np.empty(self.size, dtype=np.float32)
        return flat


def poll_until(done: Callable[[], bool], longest: float = LONGEST) -> float:
    """Call `done` until it returns True, with pauses that grow to `longest` seconds. Returns the
    seconds waited."""
    start = time.perf_counter()
    polls, pause = 0, 1e-6
    while not done():
        polls += 1
        if polls <= YIELDS:
            os.sched_yield()
        else:
            time.sleep(pause)
            pause = min(longest, 2 * pause)
    return time.perf_counter() - start


def complete(requests: Sequence[Any]) -> bool:
    """Whether all requests are complete. Tests each one, because MPI progresses in Test."""
    return not [request for request in requests if not request.Test()]


def wait(requests: Sequence[Any], longest: float = LONGEST) -> float:
    """Wait until all requests are complete. Returns the seconds waited."""
    return poll_until(lambda: complete(requests), longest)


def raw(array: Array) -> npt.NDArray[np.uint8]:
    """The bytes of a contiguous array, as a view of its memory; of another array, of a copy."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def send(comm: Any, array: Array, to: int, tag: int) -> int:
    """Send an array and wait until it may be overwritten. Returns its bytes."""
    wait([comm.Isend(raw(array), to, tag)])
    return int(array.nbytes)


def receive(comm: Any, array: Array, source: int, tag: int, longest: float = LONGEST) -> None:
    """Fill a contiguous array with a received message.

    longest  the longest sleep between two polls, in seconds
    """
    wait([comm.Irecv(raw(array), source, tag)], longest)


def send_parcel(
    comm: Any, to: int, facts: Mapping[str, Any], arrays: Sequence[tuple[str, Array]]
) -> int:
    """Send facts, which are JSON, and named arrays. Returns the bytes sent."""
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays]
    encoded = bytearray(json.dumps({"facts": facts, "arrays": listed}).encode())
    text = np.frombuffer(encoded, dtype=np.uint8)
    size: Array = np.array([text.size], dtype=np.int64)
    parts = [size, text, *(array for _, array in arrays)]
    return sum(send(comm, part, to, Tag.PARCEL) for part in parts)


def receive_parcel(
    comm: Any, source: int, longest: float = LONGEST
) -> tuple[dict[str, Any], dict[str, Array], int]:
    """Receive what `send_parcel` sent. Returns the facts, the arrays by name, and the bytes
    received.

    longest  the longest sleep between two polls for the first message, in seconds
    """
    size: Array = np.empty(1, dtype=np.int64)
    receive(comm, size, source, Tag.PARCEL, longest)
    text: Array = np.empty(int(size[0]), dtype=np.uint8)
    receive(comm, text, source, Tag.PARCEL)
    sent = json.loads(text.tobytes())
    arrays: dict[str, Array]
    arrays = {name: np.empty(shape, dtype=dtype) for name, dtype, shape in sent["arrays"]}
    for array in arrays.values():
        receive(comm, array, source, Tag.PARCEL)
    return sent["facts"], arrays, sum(part.nbytes for part in (size, text, *arrays.values()))
