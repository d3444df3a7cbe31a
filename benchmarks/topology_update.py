"""SET's topology update, step by step, and the drawing of a new layer: times and memory.

    python benchmarks/topology_update.py [--rounds 9] [--threads 2] [--largest 10000000]

An update is what a backend that keeps csr values does with one array of optimizer state: drop
(zeta 0.3, per sign), grow at random, rewire (the new pattern), carry (weights and state); a
backend's own index is not in it. The best of the rounds, and the highest that numpy's arrays
came to, less those that were there before, per connection.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from sparsebench_plugins.allocations import erdos_renyi

from sparsebench.core.sparse.csr import AppliedChange, Change, CsrMatrix
from sparsebench.core.sparse.sampling import free_positions, random_pattern
from sparsebench.core.sparse.selection import weakest_per_sign_dropped
from sparsebench.testing.fixtures import UniformWeights, random_matrix

ZETA, EPSILON = 0.3, 20
NETWORKS = {
    "784-1000-1000-1000-10": [(1000, 784), (1000, 1000), (1000, 1000), (10, 1000)],
    "65536-65536": [(65536, 65536)],
}
STEPS = ("drop", "grow", "rewire", "carry")


@dataclass
class Layer:
    """The arrays that an update replaces."""

    W: CsrMatrix
    slot: Any

    def update(self, clock: Callable[[str], None]) -> None:
        rng = np.random.default_rng(1)
        clock("")
        keep = weakest_per_sign_dropped(self.W.data, ZETA)
        clock("drop")
        count = int(keep.size - np.count_nonzero(keep))
        rows, columns = free_positions(self.W.pattern, keep, count, rng)
        values = UniformWeights().draw(self.W.pattern, rows.size, rng)
        change = Change(keep, rows, columns, values)
        clock("grow")
        applied = AppliedChange(self.W.pattern, change)
        clock("rewire")
        self.W = CsrMatrix(applied.pattern, applied.carry(self.W.data, change.values))
        self.slot = applied.carry(self.slot)
        clock("carry")


class Stopwatch:
    """Seconds by step; a step's name comes at its end."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("", *STEPS), 0.0)
        self._last = time.perf_counter()

    def __call__(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] += now - self._last
        self._last = now

    @property
    def total(self) -> float:
        return sum(self.seconds[step] for step in STEPS)


def peak_bytes(action: Callable[[], Any]) -> int:
    """Of numpy's arrays, above what there was before."""
    tracemalloc.start()
    kept = action()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak


def measure_update(name: str, rounds: int) -> None:
    shapes = NETWORKS[name]
    layers = []
    for shape, nnz in zip(shapes, erdos_renyi(shapes, EPSILON), strict=True):
        W = random_matrix(shape, nnz, np.random.default_rng(0))
        layers.append(Layer(W, np.zeros_like(W.data)))
    best: Stopwatch | None = None
    for _ in range(rounds + 1):  # the first one compiles
        watch = Stopwatch()
        for layer in layers:
            layer.update(watch)
        best = watch if best is None or watch.total < best.total else best
    assert best is not None
    nnz = sum(layer.W.nnz for layer in layers)
    largest = max(layers, key=lambda layer: layer.W.nnz)
    peak = peak_bytes(lambda: largest.update(lambda step: None)) / largest.W.nnz
    steps = " ".join(f"{1e3 * best.seconds[step]:8.2f}" for step in STEPS)
    print(f"{name:22s} {nnz:10d} {steps} {1e3 * best.total:8.2f} {peak:8.1f}")


def measure_drawing(nnz: int, rounds: int) -> None:
    """A layer of epsilon 20 with twice as many outputs as inputs."""
    K, D = nnz // 60 * 2, nnz // 60
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        random_pattern((K, D), nnz, np.random.default_rng(0))
        times.append(time.perf_counter() - start)
    peak = peak_bytes(lambda: random_pattern((K, D), nnz, np.random.default_rng(0)))
    print(f"{f'{K} x {D}':22s} {nnz:10d} {1e3 * min(times):10.1f} {peak / nnz:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=min(2, numba.config.NUMBA_NUM_THREADS))
    parser.add_argument("--largest", type=int, default=10**7, help="connections drawn; up to 10^8")
    given = parser.parse_args()
    numba.set_num_threads(given.threads)
    steps = " ".join(f"{step:>8s}" for step in STEPS)
    print(f"{'update, ms':22s} {'nnz':>10s} {steps} {'total':>8s} {'bytes':>8s}")
    for name in NETWORKS:
        measure_update(name, given.rounds)
    print(f"\n{'new layer':22s} {'nnz':>10s} {'ms':>10s} {'bytes':>8s}")
    for nnz in (10**6, 10**7, 10**8):
        if nnz <= given.largest:
            measure_drawing(nnz, max(1, given.rounds // (nnz // 10**6)))


if __name__ == "__main__":
    main()
