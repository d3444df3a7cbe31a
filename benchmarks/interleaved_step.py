"""A training step of every backend, side by side: they take turns, so noise hits all alike.

    python benchmarks/interleaved_step.py
    python benchmarks/interleaved_step.py --backends numba-csr numba-csr:activations=bfloat16
    python benchmarks/interleaved_step.py --backends numba-csr released@FOLDER

Prints each backend's median time per step and its ratio to the first, round by round. The
network is 784-1000-1000-1000-10 at epsilon 20, batch 128, All-ReLU, dropout 0.3, momentum,
unless told otherwise. `released` is the step of the code released with arXiv 2102.01732, in
FOLDER a clone of SelimaC/large-scale-sparse-neural-networks.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from turns import compare, component, serve

from sparsebench.core.nn.buffers import aligned_empty
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.discovery import load_plugins
from sparsebench.seeds import generator


def network(
    backend: str | dict[str, Any],
    hidden: list[int],
    epsilon: float,
    features: int = 784,
    classes: int = 10,
) -> Network:
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
    shapes = model.shapes(features, classes)
    counts = build("topology", {"name": "static", "epsilon": epsilon}).connections(shapes)
    layers = []
    for index, (shape, nnz) in enumerate(zip(shapes, counts, strict=True)):
        pattern = random_pattern(shape, nnz, generator(0, "topology", index))
        W = CsrMatrix(pattern, model.initializer.draw(pattern, nnz, generator(0, "init", index)))
        layers.append(provider.layer(W, np.zeros(shape[0], dtype=np.float32), optimizer))
    made: Network = model.network(layers, provider, optimizer, 0, build("loss", "cross-entropy"))
    return made


def released(
    hidden: list[int], epsilon: float, features: int, classes: int = 10
) -> Callable[[Any, Any], None]:
    """A step of `set_mlp_sequential.py`, with the settings of its main program.

    The module imports loaders of data sets, which need Keras, and a monitor: empty modules stand
    in for both, for a step uses neither.
    """
    for name, what in (
        ("utils.load_data", "load_fashion_mnist_data"),
        ("wasap_sgd.train.monitor", "Monitor"),
    ):
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], what, None)
    code: Any = importlib.import_module("set_mlp_sequential")
    slopes = [-0.6 if layer % 2 == 0 else 0.6 for layer in range(len(hidden))]
    activations = (*map(code.AlternatedLeftReLU, slopes), code.Softmax)
    net = code.SET_MLP((features, *hidden, classes), activations, epsilon=epsilon)
    net.loss, net.learning_rate, net.momentum = code.CrossEntropy(), 1e-3, 0.9
    net.weight_decay, net.dropout_rate = 0.0002, 0.3

    def step(X: Any, Y: Any) -> None:
        net._back_prop(*net._feed_forward(X, True), Y)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--hidden", type=int, nargs="+", default=[1000, 1000, 1000])
    parser.add_argument("--epsilon", type=float, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    backends = ["numba-csr", "scipy-csr", "dense-mask"]
    parser.add_argument("--backends", nargs="+", default=backends, help="NAME[:parameter=value]")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.serve:
        print(f"{given.features}-{given.hidden}-10, epsilon {given.epsilon}, batch {given.batch}")
        compare(__file__, given.backends, given.threads, given.rounds)
        return
    rng = np.random.default_rng(0)
    X = aligned_empty((given.features, given.batch))
    rng.standard_normal(dtype=np.float32, out=X)
    y = rng.integers(10, size=given.batch)
    if given.serve == "released":
        step = released(given.hidden, given.epsilon, given.features)
        samples, one_hot = np.ascontiguousarray(X.T), np.eye(10, dtype=np.float32)[y]
        serve(lambda: step(samples, one_hot))
        return
    net = network(component(given.serve), given.hidden, given.epsilon, given.features)
    steps = iter(range(1, 10**9))
    serve(lambda: net.train_step(X, y, 1e-3, next(steps)) and None)


if __name__ == "__main__":
    main()
