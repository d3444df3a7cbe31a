"""Training steps of the backends, a process each, taking turns: medians and ratios.

    python benchmarks/interleaved_step.py [--hidden 1000 1000 1000] [--rounds 15]

The network of Curci et al. (2021): 784 inputs, 10 classes, epsilon 20, All-ReLU, dropout 0.3,
SGD with momentum and weight decay, batch 128. The backends take turns, so that a noisy machine
is noisy for all of them; each has its own process, because BLAS threads go on spinning after a
product and would take the cores from whoever is next.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np

from sparsebench.discovery import load_plugins
from sparsebench.protocols import Network
from sparsebench.seeds import generator
from sparsebench.sparse.csr import CsrMatrix
from sparsebench.sparse.sampling import random_pattern

FEATURES, CLASSES, BATCH = 784, 10, 128
TURN_SECONDS = 0.4


def network(backend: str, hidden: list[int], epsilon: float) -> Network:
    """The same network on any backend."""
    plugins = load_plugins()

    def build(kind: str, given: Any) -> Any:
        return plugins.build(kind, plugins.validate(kind, given, kind))

    activation = {"name": "all-relu", "alpha": 0.6}
    model = build(
        "model", {"name": "mlp", "hidden": hidden, "activation": activation, "dropout": 0.3}
    )
    optimizer = build("optimizer", {"name": "sgd", "momentum": 0.9, "weight_decay": 0.0002})
    provider = build("backend", backend)
    shapes = model.shapes(FEATURES, CLASSES)
    counts = build("topology", {"name": "static", "epsilon": epsilon}).connections(shapes)
    layers = []
    for index, (shape, nnz) in enumerate(zip(shapes, counts, strict=True)):
        pattern = random_pattern(shape, nnz, generator(0, "topology", index))
        W = CsrMatrix(pattern, model.initializer.draw(pattern, nnz, generator(0, "init", index)))
        layers.append(provider.layer(W, np.zeros(shape[0], dtype=np.float32), optimizer))
    made: Network = model.network(layers, provider, optimizer, 0)
    return made


def serve(backend: str, hidden: list[int], epsilon: float) -> None:
    """Answer every line on stdin with the seconds of a step, the median of a turn."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((FEATURES, BATCH), dtype=np.float32)
    y = rng.integers(CLASSES, size=BATCH)
    net = network(backend, hidden, epsilon)
    t = 0
    for _ in sys.stdin:
        times = [time.perf_counter()]
        while len(times) < 3 or times[-1] - times[0] < TURN_SECONDS:
            t += 1
            net.train_step(X, y, 0.01, t)
            times.append(time.perf_counter())
        seconds = statistics.median(b - a for a, b in pairwise(times))
        print(json.dumps([seconds, sum(layer.nnz for layer in net.layers)]), flush=True)


class Worker:
    """A process that serves one backend."""

    def __init__(self, backend: str, threads: int, arguments: list[str]) -> None:
        names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments, "--serve", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits},
        )

    def round(self) -> tuple[float, int]:
        """Seconds per step, connections."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("go\n")
        stdin.flush()
        seconds, nnz = json.loads(stdout.readline())
        return seconds, nnz

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[1000, 1000, 1000])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    backends = ["numba-csr", "scipy-csr", "dense-mask"]
    parser.add_argument("--backends", nargs="+", default=backends)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.hidden, given.epsilon)
        return
    workers = {name: Worker(name, given.threads, sys.argv[1:]) for name in given.backends}
    times: dict[str, list[float]] = {name: [] for name in workers}
    nnz = 0
    for turn in range(given.rounds + 1):
        for name, worker in workers.items():
            seconds, nnz = worker.round()
            if turn > 0:  # the first turn compiles and touches memory
                times[name].append(seconds)
    for worker in workers.values():
        worker.close()
    first = given.backends[0]
    print(f"hidden {given.hidden}, {nnz} connections, batch {BATCH}, {given.rounds} rounds")
    for name, measured in times.items():
        ratios = [b / a for a, b in zip(times[first], measured, strict=True)]
        print(
            f"{name:12s} {1e3 * statistics.median(measured):9.2f} ms per step, "
            f"{statistics.median(ratios):6.2f} x {first} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
