"""Memory and time of one topology update while the network grows: is it O(nnz)?

    python benchmarks/method_memory.py [--largest 1000000] [--samples 8]

A hidden layer of n neurons between 784 inputs and 10 outputs, epsilon 1. For each method the
highest that numpy's arrays came to during an update, above the weights and the signals, divided by
connections and neurons, beside what a dense gradient would take; and the seconds. An exact scan
(RigL) takes time of order K D and memory of order nnz; sampling (GSE) takes both of order nnz.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
from sparsebench_plugins.allocations import erdos_renyi

from sparsebench.core.methods.training_position import TrainingStep
from sparsebench.core.methods.view import NetworkView, State
from sparsebench.core.protocols import LayerSignals
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.discovery import load_plugins
from sparsebench.testing.fixtures import UniformWeights, random_matrix

METHODS = ("set", "mest", "rigl", "gse", "snfs", "chts", "ctre-sim", "wast", "srigl", "granet")
EPSILON = 1
STEP = TrainingStep(epoch=1, epochs=10, step=1000, steps_per_epoch=1000, epoch_ended=True)


def made(neurons: int, samples: int) -> tuple[list[CsrMatrix], list[LayerSignals]]:
    """Weights and random signals of 784-n-10."""
    rng = np.random.default_rng(0)
    shapes = [(neurons, 784), (10, neurons)]
    layers = [
        random_matrix(shape, nnz, rng)
        for shape, nnz in zip(shapes, erdos_renyi(shapes, EPSILON), strict=True)
    ]
    signals = [
        LayerSignals(
            rng.standard_normal((D, samples), dtype=np.float32),
            rng.standard_normal((K, samples), dtype=np.float32),
        )
        for K, D in shapes
    ]
    return layers, signals


def measure(name: str, layers: list[CsrMatrix], signals: list[LayerSignals]) -> tuple[int, float]:
    """Peak bytes and seconds of an update; each layer's change is dropped as training would."""
    plugins = load_plugins()
    given = {"name": name, "epsilon": EPSILON}
    topology = plugins.build("topology", plugins.validate("topology", given, name))
    momentum = [W.data for W in layers]

    def update() -> None:
        view = NetworkView.of(
            layers, UniformWeights(), STEP, batch=signals, momentum=momentum, state=State()
        )
        if topology.needs.every_step:
            for index, seen in enumerate(signals):
                topology.after_backward(view.layer(index), seen.X, seen.DZ)
        for _ in topology.layer_updates(view):
            pass

    update()  # compiles
    started = time.perf_counter()
    update()
    seconds = time.perf_counter() - started
    tracemalloc.start()
    update()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=10**6, help="hidden neurons")
    parser.add_argument("--samples", type=int, default=8, help="of the mini-batch")
    given = parser.parse_args()
    print(f"{'method':8s} {'neurons':>9s} {'nnz':>9s} {'MiB':>8s} {'dense MiB':>9s} "
          f"{'bytes/(nnz+n)':>13s} {'seconds':>8s}")  # fmt: skip
    for neurons in (10**4, 10**5, 10**6):
        if neurons > given.largest:
            continue
        layers, signals = made(neurons, given.samples)
        nnz, all_neurons = sum(W.nnz for W in layers), neurons + 794
        dense = 4 * sum(K * D for K, D in (W.shape for W in layers)) / 2**20
        for name in METHODS:
            peak, seconds = measure(name, layers, signals)
            each = peak / (nnz + all_neurons)
            print(f"{name:8s} {neurons:9d} {nnz:9d} {peak / 2**20:8.1f} {dense:9.1f} "
                  f"{each:13.1f} {seconds:8.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
