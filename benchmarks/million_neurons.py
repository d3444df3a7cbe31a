"""A training step of a very large network at a small batch, beside another version of the code.

    git worktree add ../before v0.1.0
    python benchmarks/million_neurons.py --backends numba-csr numba-csr@../before

The layers are those of the suite one-million-2019: 3312 features, three hidden layers of 600,000,
5 classes, epsilon 20. A step is forward, and backward with momentum, of every layer through its
units; an epoch has 68 of them at batch 2.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from turns import compare, component, serve

from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.discovery import load_plugins
from sparsebench.seeds import generator


class Step:
    """Layers with units between them. DZ of the outputs is random and stays."""

    def __init__(self, backend: str, sizes: list[int], epsilon: float, batch: int) -> None:
        plugins = load_plugins()
        provider, optimizer = (
            plugins.build(kind, plugins.validate(kind, given, kind))
            for kind, given in (
                ("backend", component(backend)),
                ("optimizer", {"name": "sgd", "momentum": 0.9}),
            )
        )
        rng = generator(0, "topology", 0)
        self.t = 0
        self.layers, self.units, self.A = [], [], []
        dtype = getattr(provider, "activation_dtype", np.dtype(np.float32))
        for D, K in pairwise(sizes):
            nnz = min(K * D, int(epsilon * (K + D)))
            pattern = random_pattern((K, D), nnz, rng)
            W = CsrMatrix(pattern, 0.01 * rng.standard_normal(nnz, dtype=np.float32))
            self.layers.append(provider.layer(W, np.zeros(K, dtype=np.float32), optimizer))
            self.units.append(provider.unit(0.0, None))
        last = len(self.layers) - 1
        for number, size in enumerate(sizes):
            inside = 0 < number <= last
            self.A.append(aligned_empty((size, batch), dtype if inside else np.dtype(np.float32)))
        self.A[0][...] = rng.standard_normal((sizes[0], batch), dtype=np.float32)
        self.D = [aligned_empty(A.shape, A.dtype) for A in self.A]
        self.D[-1][...] = 0.01 * rng.standard_normal((sizes[-1], batch), dtype=np.float32)

    def __call__(self) -> None:
        self.t += 1
        units = [None, *self.units[:-1], None]
        for number, layer in enumerate(self.layers):
            below, unit = units[number], units[number + 1]
            layer.forward_through(self.A[number], below, self.A[number + 1], unit, self.t)
        for number in reversed(range(len(self.layers))):
            below, unit = units[number], units[number + 1]
            DX = self.D[number] if number > 0 else None
            layer = self.layers[number]
            layer.backward_through(
                self.A[number], below, self.D[number + 1], unit, DX, 1e-6, self.t
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=600_000)
    parser.add_argument("--features", type=int, default=3312)
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", nargs="+", default=["numba-csr"])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [given.features, *[given.hidden] * 3, 5]
    if given.serve:
        serve(Step(given.serve, sizes, given.epsilon, given.batch))
        return
    print(" - ".join(map(str, sizes)), f"epsilon {given.epsilon}, batch {given.batch}")
    compare(__file__, given.backends, given.threads, given.rounds)


if __name__ == "__main__":
    main()
