"""The master's end of what connects it with one worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.core.sparse.csr import CsrPattern
from sparsebench_parallel.mpi.flat_values import FlatValues, Vector
from sparsebench_parallel.mpi.messages import (
    FROM_MASTER,
    FROM_WORKER,
    Kind,
    Tag,
    header,
    raw,
)
from sparsebench_parallel.mpi.polling import complete
from sparsebench_parallel.mpi.topology_diff import Encoded

Header = npt.NDArray[Any]


class Link:
    """One array serves both ways: a gradient comes in, weights go out, and when they are away
    it waits for the next gradient. Receives are posted ahead, so that parts of a gradient come
    in while the master is busy and the worker still computes.

    patterns  the connections that the worker has        busy  a gradient is expected or here
    bytes     sent and received so far; every message has the master at one end
    """

    def __init__(
        self, comm: Any, rank: int, flat: FlatValues, patterns: Sequence[CsrPattern], turns: int
    ) -> None:
        """turns  gradients that the worker will send"""
        self.rank = rank
        self.flat = flat
        self.patterns = patterns
        self.turns = turns
        self.buffer: Vector = np.empty(flat.size, dtype=np.float32)
        self.incoming = header(FROM_WORKER)
        self.busy = False
        self.bytes = 0
        self.topology_bytes = 0
        self._comm = comm
        self._paused = 0.0
        self._sends: list[Any] = []
        self._kept: list[Any] = []
        self._receives: list[Any] = []

    def listen(self) -> None:
        """Expect a gradient on the connections that the worker has."""
        self.busy = True
        self._receives = [self._comm.Irecv(raw(self.incoming), self.rank, Tag.HEADER)]
        for number, part in enumerate(self.flat.parts):
            request = self._comm.Irecv(self.buffer[part], self.rank, Tag.GRADIENT + number)
            self._receives.append(request)

    def arrived(self) -> bool:
        """Whether the expected gradient is here; moves messages on. Never blocks."""
        if not self._sent():
            return False
        if not self._receives:
            self.listen()
        return complete(self._receives)

    def taken(self) -> Header:
        """The header of what arrived; from now on nothing is expected."""
        self.busy = False
        self.turns -= 1
        self._receives = []
        self.bytes += self.incoming.nbytes + self.buffer.nbytes
        return self.incoming

    def answer(
        self,
        values: Sequence[Vector],
        flat: FlatValues,
        patterns: Sequence[CsrPattern],
        changed: Encoded | None,
        step: int,
        paused: float,
    ) -> None:
        """Send weights, and what changed of the topology; then expect the next gradient.

        paused  seconds between epochs, since the training began
        """
        told = _header(Kind.STEP, step, paused - self._paused)
        self._paused = paused
        self.flat, self.patterns = flat, patterns
        self.buffer = flat.fitting(self.buffer)
        flat.fill(self.buffer, values)
        outgoing: list[tuple[Any, int]] = [(told, Tag.HEADER)]
        if changed is not None:
            told["positions"] = changed.positions.size
            told["width"] = changed.positions.itemsize
            outgoing += [(changed.table, Tag.TABLE), (changed.positions, Tag.POSITIONS)]
            self.topology_bytes += changed.nbytes
        self._send([*outgoing, (self.buffer, Tag.VALUES)])
        self.busy = True

    def tell(self, kind: Kind, step: int) -> None:
        """A header alone."""
        self._send([(_header(kind, step, 0.0), Tag.HEADER)])

    def idle(self) -> bool:
        """Whether all that was sent is away."""
        return self._sent()

    def _send(self, messages: Sequence[tuple[Any, int]]) -> None:
        """The arrays are held until they are away."""
        self._kept = [array for array, _ in messages]
        self.bytes += sum(int(array.nbytes) for array in self._kept)
        self._sends = [self._comm.Isend(raw(array), self.rank, tag) for array, tag in messages]

    def _sent(self) -> bool:
        if self._sends and complete(self._sends):
            self._sends, self._kept = [], []
        return not self._sends


def _header(kind: Kind, step: int, paused: float) -> Header:
    told = header(FROM_MASTER)
    told["kind"], told["step"], told["paused"] = kind, step, paused
    return told
