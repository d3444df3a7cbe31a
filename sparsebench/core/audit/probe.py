"""Probes a backend's layers for dense work and dense storage by measuring time and memory."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from sparsebench.core.arrays import Matrix
from sparsebench.core.audit.probe_evidence import Evidence, Point, beyond_doubt, suspicious
from sparsebench.core.audit.probe_sizes import Shape, Sizes
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import Backend, Optimizer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.core.worker import memory
from sparsebench.core.worker.meter import free_memory

RATE = 1e-6
MOVED = 0.05
"""Share of the connections that each topology change replaces."""

FEWEST, ENOUGH, MOST = 3, 8, 40
"""Repeats of all calls. After FEWEST, they are repeated only while the time of one of them looks
dense; after ENOUGH, only until it looks dense beyond doubt; never more than MOST times. The
shortest repeat counts, because other programs make a call longer and never shorter."""

PATIENCE = 3.0
"""Seconds after which no further repeat begins if there were FEWEST. After twice as many seconds
none begins in any case."""


class Probed(Protocol):
    """A layer or network at one shape, with its calls by name in the order to make them.

    shape    (K, D) of the layer whose shape varies
    untimed  calls whose time is declared to grow with K D, so that it is not judged
    """

    shape: Shape
    untimed: frozenset[str]

    def calls(self) -> dict[str, Callable[[], object]]: ...

    def prepare(self, call: str) -> None:
        """Make the arguments of this call, and free those of the previous call."""

    def stored_bytes(self) -> int: ...


def probe(backend: Backend, optimizer: Optimizer, sizes: Sizes) -> Evidence:
    """Probe a backend's layers of the three shapes: for every call, first its memory, then its
    time."""
    claim = getattr(backend, "truly_sparse", None)
    return probe_all(
        lambda shape: Subject(backend, optimizer, shape, sizes),
        sizes,
        bool(claim) if claim is not None else None,
    )


def probe_all(
    made: Callable[[Shape], Probed], sizes: Sizes, claims: bool | None = True
) -> Evidence:
    """Probe the subject that `made` builds for each of the three shapes: for every call, first its
    memory, then its time, for which the shapes take turns.

    claims  whether the subject is declared to be truly sparse; None: not declared
    """
    warm = (sizes.side // 8, sizes.side // 8)
    _memory(made(warm))  # compiles
    start = time.perf_counter()
    thin, across, square = (_memory(made(shape)) for shape in sizes.shapes)
    points = _timed([made(shape) for shape in sizes.shapes], (thin, across, square))
    return Evidence(claims, sizes, points, time.perf_counter() - start)


def _memory(subject: Probed) -> Point:
    """Call everything once. For each call, measures peak resident memory, above that before the
    first call, and the memory that it read or wrote; in bytes."""
    calls = subject.calls()
    subject.prepare(next(iter(calls)))
    free_memory()
    before = _resident()
    peaks: dict[str, int] = {}
    touched: dict[str, int] = {}
    for number, (name, call) in enumerate(calls.items()):
        if number > 0:
            subject.prepare(name)
        with without_collector():
            counts = memory.forget_references()
            can_reset = memory.reset_peak()
            call()
            now, used = memory.read(), memory.referenced() if counts else None
        if can_reset and now is not None:
            peaks[name] = max(0, now.peak - before)
        if used is not None:
            touched[name] = used
    declared = subject.stored_bytes()
    free_memory()
    held = max(0, _resident() - before)
    return Point(subject.shape, declared, held, peaks, {}, touched)


@contextmanager
def without_collector() -> Iterator[None]:
    """Disable Python's cyclic garbage collector within the block, because it reads every object."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _resident() -> int:
    now = memory.read()
    return now.rss if now is not None else 0


Three = tuple[Point, Point, Point]


def _timed(subjects: list[Probed], points: Three) -> Three:
    """The points with the shortest of each call's repeats.

    The shapes take turns, so that a disturbance of the machine slows all of them.
    """
    calls = [subject.calls() for subject in subjects]
    shortest: list[dict[str, float]] = [{} for _ in subjects]
    deadline = time.perf_counter() + PATIENCE
    for repeat in range(1, MOST + 1):
        for name in calls[0]:
            for subject, own, best in zip(subjects, calls, shortest, strict=True):
                subject.prepare(name)
                start = time.perf_counter()
                own[name]()
                took = time.perf_counter() - start
                if name not in subject.untimed:
                    best[name] = min(took, best.get(name, took))
        thin, across, square = (
            replace(point, seconds=dict(best)) for point, best in zip(points, shortest, strict=True)
        )
        points = thin, across, square
        late = time.perf_counter() - deadline
        if late > PATIENCE or (repeat >= FEWEST and (late > 0 or not suspicious(points))):
            break
        if repeat >= ENOUGH and beyond_doubt(points):
            break
    return points


class Subject:
    """A layer of one shape, with every call that training and evaluation make to it.

    Input and output arrays are allocated and written before the layer is made, so that memory taken
    during a call is the backend's. Each call can be repeated; the topology changes each time.
    """

    untimed: frozenset[str] = frozenset()

    def __init__(self, backend: Backend, optimizer: Optimizer, shape: Shape, sizes: Sizes) -> None:
        self._backend = backend
        self._optimizer = optimizer
        self._sizes = sizes
        self._rng = np.random.default_rng(0)
        self._steps = itertools.count(1)
        self.shape = shape
        (K, D), N = shape, sizes.batch
        self._X, self._DX = self._samples(D, N), self._samples(D, N)
        self._Z, self._DZ = self._samples(K, N), self._samples(K, N)
        self._given = self._matrix()
        self._change: Change | None = None
        self.layer: Any = None

    def calls(self) -> dict[str, Callable[[], object]]:
        """The calls by name, in the order to make them, each after `prepare`."""
        calls: dict[str, Callable[[], object]] = {
            "build": self._build,
            "forward": lambda: self.layer.forward(self._X, self._Z),
            "backward_and_step": lambda: self.layer.backward_and_step(
                self._X, self._DZ, self._DX, RATE, next(self._steps)
            ),
            "backward, gradients, step": self._apart,
            "weights, state": lambda: (self.layer.weights(), self.layer.state()),
            "change": lambda: self.layer.apply_change(self._change),
            "forward after change": lambda: self.layer.forward(self._X, self._Z),
        }
        return calls | self._through()

    def prepare(self, call: str) -> None:
        """Make the arguments of this call, and free those of the previous call."""
        if call == "build":
            self.layer = None
            self._given = self._matrix()
        self._change = self._moved() if call == "change" else None

    def stored_bytes(self) -> int:
        return sum(self.layer.stored_bytes().values())

    def _build(self) -> None:
        bias = np.zeros(self.shape[0], dtype=np.float32)
        self.layer = self._backend.layer(self._given, bias, self._optimizer)

    def _apart(self) -> None:
        self.layer.backward(self._X, self._DZ, self._DX)
        self.layer.gradients()
        self.layer.step(RATE, next(self._steps))

    def _through(self) -> dict[str, Callable[[], object]]:
        """The calls of a `ThroughLayer` in the middle of a network; empty for other layers.

        A layer with one connection per neuron computes its input, so that the unit below has stored
        the signs that the backward pass needs, and the arrays have the backend's own type.
        """
        backend, (K, D), N = self._backend, self.shape, self._sizes.batch
        if not hasattr(backend, "unit"):
            return {}
        pattern = random_pattern((D, 1), D, np.random.default_rng(0))
        W = CsrMatrix(pattern, np.ones(D, dtype=np.float32))
        feeder: Any = backend.layer(W, np.zeros(D, dtype=np.float32), self._optimizer)
        if not hasattr(feeder, "forward_through"):
            return {}
        below, unit = backend.unit(0.0, None), backend.unit(0.0, None)
        dtype = getattr(backend, "activation_dtype", np.float32)
        x = np.ones((1, N), dtype=np.float32)
        X, DX, A, DZ = (aligned_empty((neurons, N), dtype) for neurons in (D, D, K, K))
        for array in (X, DX, A, DZ):
            array[...] = 0  # written, so that it is resident

        def forward(t: int | None) -> None:
            feeder.forward_through(x, None, X, below, t)
            self.layer.forward_through(X, below, A, unit, t)

        def backward() -> None:
            self.layer.backward_through(X, below, DZ, unit, DX, RATE, next(self._steps))

        return {
            "forward_through": lambda: forward(next(self._steps)),
            "backward_through": backward,
            "evaluation": lambda: forward(None),
        }

    def _matrix(self) -> CsrMatrix:
        K, D = self.shape
        pattern = random_pattern(self.shape, min(self._sizes.nnz, K * D // 2), self._rng)
        return CsrMatrix(pattern, self._values(pattern.nnz))

    def _moved(self) -> Change:
        """A change that drops some connections and grows the same number at free positions."""
        pattern, D = self.layer.weights().pattern, self.shape[1]
        keep = self._rng.random(pattern.nnz) >= MOVED
        count = int(pattern.nnz - np.count_nonzero(keep))
        drawn = np.unique(self._rng.integers(self.shape[0] * D, size=4 * count))
        # by sorting, because numpy would otherwise make a table of all K D positions
        free = drawn[~np.isin(drawn, pattern.keys()[keep], assume_unique=True, kind="sort")]
        grown = np.sort(self._rng.permutation(free)[:count])
        return Change(keep, grown // D, grown % D, self._values(grown.size))

    def _values(self, count: int) -> Matrix:
        """Weights about as large as an initializer would draw."""
        values: Matrix = self._rng.standard_normal(count, dtype=np.float32)
        values *= np.float32((self._sizes.nnz / self._sizes.side) ** -0.5)
        return values

    def _samples(self, neurons: int, N: int) -> Matrix:
        """Normal numbers, aligned in memory like the network's own arrays."""
        numbers: Matrix = aligned_empty((neurons, N))
        self._rng.standard_normal(dtype=np.float32, out=numbers)
        return numbers
