"""What travels: headers of fixed size, float32 arrays, and parcels of named arrays. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench_parallel.mpi.polling import LONGEST, complete, until

Array = npt.NDArray[Any]

MASTER = 0
"""The rank that holds the weights."""


class Tag(IntEnum):
    """Of a gradient's parts: GRADIENT and the number of the part."""

    HEADER = 1
    VALUES = 2
    TABLE = 3
    POSITIONS = 4
    PARCEL = 5
    PROBE = 6
    GRADIENT = 100


class Kind(IntEnum):
    """What a header of the master says: take a step, end, or go on alone."""

    STEP = 0
    STOP = 1
    ALONE = 2


FROM_MASTER = np.dtype(
    [("kind", "<i8"), ("step", "<i8"), ("positions", "<i8"), ("width", "<i8"), ("paused", "<f8")]
)
"""step       updates of the master so far
positions  integers of the topology's difference, 0: it stands; width is their bytes each
paused     seconds between epochs, of evaluation and the like, since the last answer to this worker
"""

FROM_WORKER = np.dtype(
    [("step", "<i8"), ("samples", "<i8"), ("loss", "<f8")]
    + [(name, "<f8") for name in ("computed", "busy", "waited")]
)
"""step      updates of the master behind the weights that were used
computed  seconds of forward and backward
busy      seconds since the last header, all but those waited for weights, which are `waited`
"""


def header(dtype: np.dtype[Any]) -> Array:
    """(1,) zeros: a header with named fields."""
    return np.zeros(1, dtype=dtype)


def raw(array: Array) -> npt.NDArray[np.uint8]:
    """The bytes of an array, shared."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def send(comm: Any, array: Array, to: int, tag: int) -> int:
    """Until the array may be written again; bytes."""
    request = comm.Isend(raw(array), to, tag)
    until(lambda: complete([request]))
    return int(array.nbytes)


def receive(comm: Any, array: Array, source: int, tag: int, longest: float = LONGEST) -> None:
    """Until the array, contiguous, is filled. longest  seconds between two looks"""
    request = comm.Irecv(raw(array), source, tag)
    until(lambda: complete([request]), longest)


def send_parcel(
    comm: Any, to: int, facts: Mapping[str, Any], arrays: Sequence[tuple[str, Array]]
) -> int:
    """Facts, which are JSON, and arrays by name; bytes that were sent."""
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays]
    text = np.frombuffer(json.dumps({"facts": facts, "arrays": listed}).encode(), np.uint8)
    sent = send(comm, np.array([text.size], dtype=np.int64), to, Tag.PARCEL)
    sent += send(comm, np.array(text), to, Tag.PARCEL)
    return sent + sum(send(comm, array, to, Tag.PARCEL) for _, array in arrays)


def receive_parcel(
    comm: Any, source: int, longest: float = LONGEST
) -> tuple[dict[str, Any], dict[str, Array], int]:
    """The facts, the arrays, and how many bytes that were. longest  of `receive`, for the first"""
    size = np.empty(1, dtype=np.int64)
    receive(comm, size, source, Tag.PARCEL, longest)
    text = np.empty(int(size[0]), dtype=np.uint8)
    receive(comm, text, source, Tag.PARCEL)
    told = json.loads(text.tobytes())
    arrays: dict[str, Array] = {}
    for name, dtype, shape in told["arrays"]:
        arrays[name] = np.empty(shape, dtype=dtype)
        receive(comm, arrays[name], source, Tag.PARCEL)
    received = size.nbytes + text.nbytes + sum(array.nbytes for array in arrays.values())
    return told["facts"], arrays, int(received)
