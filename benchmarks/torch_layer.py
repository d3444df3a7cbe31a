"""A training step of torch: `SparseLinear` beside `nn.Linear` on the CPU, by density.

python benchmarks/torch_layer.py [--width 2000] [--batch 128] [--threads 2]

Three layers of the same width with ReLU, forward, backward and SGD; the two ways take turns, and
the medians of their ratio are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numba
import torch
from torch import nn

from sparsebench.torch import SparseLinear

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def stepper(model: nn.Module, X: torch.Tensor) -> Callable[[], float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        started = time.perf_counter()
        optimizer.zero_grad()
        model(X).pow(2).mean().backward()
        optimizer.step()
        return time.perf_counter() - started

    return step


def network(layer: Callable[[int], nn.Module]) -> nn.Module:
    return nn.Sequential(*(part for n in range(3) for part in (layer(n), nn.ReLU())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    numba.set_num_threads(given.threads)
    width = given.width
    X = torch.randn(given.batch, width)
    dense = stepper(network(lambda n: nn.Linear(width, width)), X)
    print(f"{width} wide, batch {given.batch}, {given.threads} threads: ms a step, medians")
    print("density   sparse    dense   dense / sparse")
    for density in DENSITIES:
        sparse = stepper(
            network(lambda n, d=density: SparseLinear(width, width, density=d, seed=n)), X
        )
        for way in (sparse, dense):
            way(), way()
        pairs = [(sparse(), dense()) for _ in range(given.rounds)]
        times = [statistics.median(side) * 1e3 for side in zip(*pairs, strict=True)]
        ratio = statistics.median(d / s for s, d in pairs)
        print(f"{density:7.2f} {times[0]:8.1f} {times[1]:8.1f} {ratio:12.2f}")


if __name__ == "__main__":
    main()
