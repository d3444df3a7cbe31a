"""Small networks of numba-csr whose steps are compiled or made layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsebench.core.nn.network import LayeredNetwork
from sparsebench.core.protocols import Network
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.discovery import load_plugins

SGD = {"name": "sgd", "momentum": 0.9, "weight_decay": 0.01}
NESTEROV = {**SGD, "nesterov": True, "decay": "decoupled"}
PLAIN = {"name": "sgd", "weight_decay": 0.01, "decay": "decoupled-unscaled"}
ADAM = {"name": "adam", "weight_decay": 0.01}
ALL_RELU = {"name": "all-relu", "alpha": 0.6}
SIZES = (20, 33, 17, 5)


def network(
    step: str = "compiled",
    optimizer: Any = SGD,
    activation: Any = ALL_RELU,
    loss: Any = "cross-entropy",
    model: str = "mlp",
    sizes: tuple[int, ...] = SIZES,
    dropout: float = 0.3,
    **backend: Any,
) -> LayeredNetwork:
    """The same network whatever `step` is: "compiled" or "layers"."""
    plugins = load_plugins()

    def build(kind: str, value: Any) -> Any:
        return plugins.build(kind, plugins.validate(kind, value, kind))

    hidden = list(sizes[1:-1])
    made = build(
        "model", {"name": model, "hidden": hidden, "activation": activation, "dropout": dropout}
        | ({"output": "sigmoid"} if model == "autoencoder" else {}),
    )  # fmt: skip
    rule = build("optimizer", optimizer)
    provider = build("backend", {"name": "numba-csr", "step": step, **backend})
    layers = []
    for index, (K, D) in enumerate(made.shapes(sizes[0], sizes[-1])):
        pattern = random_pattern((K, D), K * D // 3, np.random.default_rng(index))
        data = np.random.default_rng(index).standard_normal(pattern.nnz).astype(np.float32) / 3
        layers.append(provider.layer(CsrMatrix(pattern, data), np.zeros(K, np.float32), rule))
    found: LayeredNetwork = made.network(layers, provider, rule, 0, build("loss", loss))
    return found


def batch(N: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((sizes[0], N)).astype(np.float32)
    return X, rng.integers(sizes[-1], size=N)


def assert_same(a: Network, b: Network, atol: float = 1e-5) -> None:
    for number, (x, y) in enumerate(zip(a.values(), b.values(), strict=True)):
        assert np.allclose(x, y, atol=atol), f"values {number}: {np.abs(x - y).max()}"
    for one, other in zip(a.layers, b.layers, strict=True):
        for name, state in one.state().items():
            assert np.allclose(state, other.state()[name], atol=atol), name


def change_topology(net: Network, seed: int) -> None:
    """Drop a fifth of each layer's connections and grow as many."""
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        pattern = layer.weights().pattern
        keep = rng.random(pattern.nnz) > 0.2
        free = np.setdiff1d(
            np.arange(pattern.shape[0] * pattern.shape[1]),
            pattern.rows.astype(np.int64) * pattern.shape[1] + pattern.indices,
        )
        grown = np.sort(rng.choice(free, size=int((~keep).sum()), replace=False))
        rows, columns = np.divmod(grown, pattern.shape[1])
        kind = pattern.indices.dtype
        values = np.full(grown.size, 0.1, dtype=np.float32)
        layer.apply_change(Change(keep, rows.astype(kind), columns.astype(kind), values))
