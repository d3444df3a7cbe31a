"""The compiled step with one and two threads, undisturbed and beside a busy process.

    python benchmarks/busy_step.py
    python benchmarks/busy_step.py --hidden 300 300 --features 64 --batch 16 --epsilon 10

Prints minimum, median, 99th percentile and mean of the milliseconds of a step, and each median
relative to that of one undisturbed thread, turn by turn. `layers` is the same step layer by layer,
on numba's own threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import numpy as np
from interleaved_step import network

from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.worker.denormals import flush_to_zero

CASES = [
    ("compiled", 1, False), ("compiled", 2, False), ("compiled", 1, True), ("compiled", 2, True),
    ("layers", 1, False), ("layers", 2, False), ("layers", 2, True),
]  # fmt: skip


@contextmanager
def busy_process(wanted: bool) -> Iterator[None]:
    """Another process that computes without end on one of the cores."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    time.sleep(0.2 if wanted else 0)
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--hidden", type=int, nargs="+", default=[1000, 1000, 1000])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    chosen = parser.parse_args()
    flush_to_zero()
    X = aligned_empty((chosen.features, chosen.batch))
    rng = np.random.default_rng(0)
    rng.standard_normal(dtype=np.float32, out=X)
    y = rng.integers(10, size=chosen.batch)
    nets = {
        step: network(
            {"name": "numba-csr", "step": step}, chosen.hidden, chosen.epsilon, chosen.features
        )
        for step in ("compiled", "layers")
    }
    steps = count(1)
    times: dict[tuple[str, int, bool], list[list[float]]] = {case: [] for case in CASES}
    for turn in range(chosen.rounds + 1):
        for case in CASES:
            step, threads, busy = case
            numba.set_num_threads(threads)
            with busy_process(busy):
                found, began = [], time.perf_counter()
                while time.perf_counter() - began < chosen.seconds or len(found) < 3:
                    before = time.perf_counter()
                    nets[step].train_step(X, y, 1e-3, next(steps))
                    found.append(1e3 * (time.perf_counter() - before))
            if turn > 0:  # the first turn compiles
                times[case].append(sorted(found))
    base = [statistics.median(turn) for turn in times[CASES[0]]]
    print(f"{chosen.features}-{chosen.hidden}-10, epsilon {chosen.epsilon}, batch {chosen.batch}")
    for (step, threads, busy), turns in times.items():
        medians = [statistics.median(turn) for turn in turns]
        ratios = [one / other for one, other in zip(medians, base, strict=True)]
        every = sorted(value for turn in turns for value in turn)
        print(
            f"{step:8s} {threads} threads{', busy' if busy else '      '}: min {every[0]:.3f}, "
            f"median {statistics.median(every):.3f}, 99 % {every[int(0.99 * len(every))]:.3f}, "
            f"mean {statistics.mean(every):.3f} ms; median ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
