"""Measures the rates of the probes on arrays of given sizes, in bytes or flops per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt
from sparsebench_plugins.backends.numba_csr.simd import WIDTH

from sparsebench.core.arrays import Array
from sparsebench.core.nn.buffers import aligned_empty
from sparsebench_roofline import probes
from sparsebench_roofline.model import NARROW
from sparsebench_roofline.quiet_timing import quietest

Cuts = npt.NDArray[np.int64]

LEAST = 0.003
"""The least duration of a timing in seconds."""

MOST_GATHERS = 2**20
"""The most random positions; the array of positions is then 4 MiB."""

AHEAD = (0, 8, 32)
"""Prefetch distances that are tried, in gathered rows; 0: no prefetching."""

SMALL_TILE = 2
"""Number of vectors in a part of the batch; such parts may stay in a cache when whole rows do
not."""

ROUNDS = 3
"""Number of measurements of each variant of a probe before the fastest is chosen."""

LEAST_STREAM = 2**14
"""The least bytes per thread of a stream."""


@dataclass(eq=False)
class ProbeVariant:
    """One variant of a probe.

    run     called with a number of passes
    amount  bytes or flops of a pass
    part    fraction of the batch that is gathered at a time
    least   least seconds of a timing
    passes  number of passes in a timing; 0 until it is known
    rates   rate per second of each measurement
    quiet   whether at least one measurement was undisturbed
    """

    run: Callable[[int], object]
    amount: float
    part: float = 1.0
    least: float = LEAST
    passes: int = 0
    quiet: bool = False
    rates: list[float] = field(default_factory=list)

    def measure(self) -> float:
        """Measure one more rate. The first call compiles, and finds how many passes take `least`
        seconds."""
        if self.passes == 0:
            self.run(1)
            self.passes = passes_for(self.run, self.least)
        took, quiet = seconds(self.run, self.passes)
        if took < self.least / 2:  # it was disturbed when passes were counted
            self.passes = passes_for(self.run, self.least)
            took, quiet = seconds(self.run, self.passes)
        self.quiet |= quiet
        self.rates.append(self.amount * self.passes / took)
        return self.rates[-1]

    @property
    def rate(self) -> float:
        """The highest rate, because a disturbance makes a probe slower, never faster."""
        return max(self.rates)


def seconds(run: Callable[[int], object], passes: int) -> tuple[float, bool]:
    """Seconds of run(passes), and whether it was undisturbed."""

    def timing() -> float:
        began = time.perf_counter()
        run(passes)
        return time.perf_counter() - began

    return quietest(timing, numba.get_num_threads())


def passes_for(run: Callable[[int], object], least: float) -> int:
    """A number of passes that takes at least `least` seconds."""
    passes = 1
    while (took := seconds(run, passes)[0]) < least:
        passes = max(2 * passes, min(10 * passes, round(passes * 1.2 * least / max(took, 1e-7))))
    return passes


def fastest(ways: Sequence[ProbeVariant], rounds: int = ROUNDS) -> ProbeVariant:
    """The variant with the highest rate, after each was measured `rounds` times in turn."""
    for _ in range(rounds):
        for way in ways:
            way.measure()
    return max(ways, key=lambda way: way.rate)


# --- the probes ----------------------------------------------------------------------


def gather(X: Array, N: int, count: int, least: float = LEAST) -> list[ProbeVariant]:
    """Variants of a probe that reads about `count` rows of N samples at random positions of the
    flat array X: whole rows or parts of the batch, with and without prefetching.

    Above 8 samples, the rest of a row after its last whole vector is not read.
    """
    if N <= NARROW:
        places, cuts = _places(X.size // N, count)
        amount = 4.0 * N * cuts[-1]

        def narrow(ahead: int) -> ProbeVariant:
            run = lambda passes: probes.gather_narrow(places, cuts, X, N, ahead, passes)  # noqa: E731
            return ProbeVariant(run, amount, least=least)

        return [narrow(ahead) for ahead in AHEAD]
    rows = X.size // max(N, WIDTH)
    places, cuts = _places(rows, count)

    def wide(vectors: int, ahead: int) -> ProbeVariant:
        tile = vectors * WIDTH
        tiles = max(1, N // tile)
        whole = tiles == 1
        stride, step = (max(N, WIDTH), 0) if whole else (tile, rows * tile)
        run = lambda passes: probes.gather_rows(  # noqa: E731
            places, cuts, X, stride, step, tiles, vectors, ahead, passes
        )
        amount = float(X.itemsize * tile * tiles * cuts[-1])
        return ProbeVariant(run, amount, part=1 / tiles, least=least)

    most = next((v for v in (8, 4, 2) if v * WIDTH <= N), 1)
    widths = sorted({most, min(most, SMALL_TILE)}, reverse=True)
    return [wide(vectors, ahead) for vectors in widths for ahead in AHEAD]


def gather_add(X: Array, N: int, count: int, least: float = LEAST) -> list[ProbeVariant]:
    """Variants of a probe for N <= 8 that reads rows as `gather` does and also adds to the same
    positions of another array, of which each thread has its own."""
    places, cuts = _places(X.size // N, count)
    Y = np.zeros(X.size * (cuts.size - 1), dtype=np.float32)
    by = np.float32(1e-9)

    def way(ahead: int) -> ProbeVariant:
        run = lambda passes: probes.gather_add(places, cuts, X, Y, N, by, ahead, passes)  # noqa: E731
        return ProbeVariant(run, 3 * 4.0 * N * cuts[-1], least=least)

    return [way(ahead) for ahead in AHEAD]


def read(size: int, least: float = LEAST) -> ProbeVariant:
    """A probe that reads an array of about `size` bytes in order."""
    cuts = _cuts(max(size, LEAST_STREAM * numba.get_num_threads()) // 4, 8 * WIDTH)
    A = np.ones(int(cuts[-1]), dtype=np.float32)
    return ProbeVariant(lambda passes: probes.read(A, cuts, passes), float(A.nbytes), least=least)


def triad(size: int, least: float = LEAST) -> ProbeVariant:
    """A probe that computes A = B + s C on three arrays of about `size` bytes together. The rate
    counts the bytes of all three."""
    cuts = _cuts(max(size, LEAST_STREAM * numba.get_num_threads()) // 12, WIDTH)
    A, B, C = (aligned_empty((int(cuts[-1]),), np.float32) for _ in range(3))
    for array in (A, B, C):
        array[...] = 1
    s = np.float32(0.5)
    run = lambda passes: probes.triad(A, B, C, s, cuts, passes)  # noqa: E731
    return ProbeVariant(run, 3.0 * A.nbytes, least=least)


def flops(least: float = LEAST) -> ProbeVariant:
    """A probe that computes chains of multiply-add; the rate is in flops per second."""
    threads = numba.get_num_threads()
    run = lambda passes: probes.multiply_add(threads, np.float32(1), 1000 * passes)  # noqa: E731
    return ProbeVariant(run, 1000.0 * threads * probes.CHAINS * WIDTH * 2, least=least)


def start_seconds(rounds: int = 101) -> float:
    """The shortest seconds, of `rounds`, of an empty parallel region."""
    threads = numba.get_num_threads()
    marks = np.zeros(threads)
    probes.start(threads, marks)
    return min(seconds(lambda _: probes.start(threads, marks), 1)[0] for _ in range(rounds))


def rehearse() -> None:
    """Run every probe on small arrays, so that all is compiled."""
    X = np.ones(2**10, dtype=np.float32)
    ways = [flops(), read(0), triad(0), *gather(X, 1, 0), *gather(X, 16, 0), *gather_add(X, 1, 0)]
    for way in ways:
        way.run(1)
    start_seconds(rounds=1)


def _places(rows: int, count: int) -> tuple[Array, Cuts]:
    """Random row numbers below `rows`, and the bounds of each thread's part of them; after the last
    part there are some more for prefetching."""
    cuts = _cuts(min(max(count, 2**10), MOST_GATHERS), probes.ABREAST)
    rng = np.random.default_rng(0)
    places = rng.integers(0, rows, size=int(cuts[-1]) + max(AHEAD), dtype=np.int32)
    return places, cuts


def _cuts(count: int, unit: int) -> Cuts:
    """(T + 1,) bounds of T equal parts of about `count` items, one per thread; the size of a part
    is a multiple of `unit`, and not 0."""
    threads = numba.get_num_threads()
    each = max(1, count // (unit * threads)) * unit
    return np.arange(threads + 1, dtype=np.int64) * each
