"""One square layer, forward and backward with the update, of every backend side by side.

    python benchmarks/layer_step.py --sizes 1024 4096 65536
    python benchmarks/layer_step.py --sizes 65536 --backends numba-csr sparselab mkl-csr \\
        numba-csr:activations=bfloat16

The layer has epsilon 20 (40 connections a neuron), momentum and no activation: what is timed is
the products, the gradient on the pattern and the update.
"""

from __future__ import annotations

import argparse

import numpy as np
from turns import compare, component, serve

from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.discovery import load_plugins
from sparsebench.seeds import generator


class Step:
    """A layer in the middle of a network: X comes through a unit, Z goes through one."""

    def __init__(self, backend: str, size: int, epsilon: float, batch: int) -> None:
        plugins = load_plugins()
        provider, optimizer = (
            plugins.build(kind, plugins.validate(kind, given, kind))
            for kind, given in (
                ("backend", component(backend)),
                ("optimizer", {"name": "sgd", "momentum": 0.9}),
            )
        )
        rng = generator(0, "topology", 0)
        nnz = min(size * size, int(2 * epsilon * size))
        pattern = random_pattern((size, size), nnz, rng)
        W = CsrMatrix(pattern, 0.01 * rng.standard_normal(nnz, dtype=np.float32))
        self.layer = provider.layer(W, np.zeros(size, dtype=np.float32), optimizer)
        dtype = getattr(provider, "activation_dtype", np.dtype(np.float32))
        self.X, self.Z, self.DZ, self.DX = (aligned_empty((size, batch), dtype) for _ in range(4))
        for array in (self.X, self.DZ):
            drawn = rng.standard_normal((size, batch), dtype=np.float32)
            array[...] = drawn if dtype == np.float32 else drawn.view(np.uint32) >> 16
        self.through = hasattr(self.layer, "forward_through")
        if self.through:
            self.below, self.unit = provider.unit(1.0, None), provider.unit(1.0, None)
            self.layer.forward_through(self.X, None, self.Z, self.below, 1)

    def __call__(self) -> None:
        if self.through:
            self.layer.forward_through(self.X, self.below, self.Z, self.unit, 1)
            self.layer.backward_through(self.X, self.below, self.DZ, self.unit, self.DX, 1e-6, 1)
        else:
            self.layer.forward(self.X, self.Z)
            self.layer.backward_and_step(self.X, self.DZ, self.DX, 1e-6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096, 65536])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backends", nargs="+", default=["numba-csr", "scipy-csr"])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Step(given.serve, given.size, given.epsilon, given.batch))
        return
    for size in given.sizes:
        print(f"{size} x {size}, epsilon {given.epsilon}, batch {given.batch}")
        more = ["--size", str(size)]
        compare(__file__, given.backends, given.threads, given.rounds, more)


if __name__ == "__main__":
    main()
