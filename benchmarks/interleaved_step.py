"""Training steps of the backends, interleaved in one process: medians and ratios.

    python benchmarks/interleaved_step.py [--hidden 1000 1000 1000] [--rounds 15]

The network of Curci et al. (2021): 784 inputs, 10 classes, epsilon 20, All-ReLU, dropout 0.3,
SGD with momentum and weight decay, batch 128. Backends take turns, so that a noisy machine is
noisy for all of them. Interleaving is also what makes the ratio fair: each starts with the
caches the others left.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from sparsebench.protocols import Network
from sparsebench.registry import load_plugins
from sparsebench.seeds import generator
from sparsebench.sparse.csr import CsrMatrix
from sparsebench.sparse.sampling import random_pattern

FEATURES, CLASSES, BATCH, STEPS_PER_ROUND = 784, 10, 128, 5


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[1000, 1000, 1000])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    backends = ["numba-csr", "scipy-csr", "dense-mask"]
    parser.add_argument("--backends", nargs="+", default=backends)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.standard_normal((FEATURES, BATCH), dtype=np.float32)
    y = rng.integers(CLASSES, size=BATCH)
    networks = {name: network(name, given.hidden, given.epsilon) for name in given.backends}
    times: dict[str, list[float]] = {name: [] for name in networks}
    t = 0
    for turn in range(given.rounds + 1):
        for name, net in networks.items():
            start = time.perf_counter()
            for step in range(STEPS_PER_ROUND):
                net.train_step(X, y, 0.01, t + step + 1)
            if turn > 0:  # the first turn compiles and touches memory
                times[name].append((time.perf_counter() - start) / STEPS_PER_ROUND)
        t += STEPS_PER_ROUND
    first = given.backends[0]
    nnz = sum(layer.nnz for layer in networks[first].layers)
    print(f"hidden {given.hidden}, {nnz} connections, batch {BATCH}, {given.rounds} rounds")
    for name, seconds in times.items():
        ratios = [b / a for a, b in zip(times[first], seconds, strict=True)]
        print(
            f"{name:12s} {1e3 * statistics.median(seconds):9.2f} ms per step, "
            f"{statistics.median(ratios):6.2f} x {first} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
