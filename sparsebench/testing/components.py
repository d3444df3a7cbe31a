"""Checks of the smaller components: gradients by finite differences, laws of the rest."""

from __future__ import annotations

import inspect
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from sparsebench.core.data.dataset import Dataset
from sparsebench.core.data.samples import Parts
from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.protocols import (
    Activation,
    Initializer,
    Layer,
    Loss,
    Model,
    Network,
    Optimizer,
    Schedule,
)
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.testing.fixtures import check_parameters

STEP = 1e-6
"""Of central differences in float64: error of order STEP^2 f''' = 1e-12 from the cut-off and
1e-16 / STEP = 1e-10 from rounding, far below the tolerance of 1e-6."""


def check_activation(activation: Activation) -> None:
    """Backward is the derivative of forward, dropout included, in every layer; so are the
    gradients of trained parameters; evaluation has no dropout; a declared slope is the slope."""
    check_parameters(activation)
    rng = np.random.default_rng(0)
    for layer in (1, 2, 3):
        for dropout in (None, Dropout(0.4, key=5)):
            Z = rng.uniform(-3, 3, (6, 5))
            Z[np.abs(Z) < 0.05] = 0.5  # finite differences do not see a kink
            _check_activation_gradients(activation, layer, dropout, Z)
        _check_saving(activation, layer)
        slope = activation.negative_slope(layer)
        if slope is not None:
            unit = activation.unit(layer, 2, None)
            A = unit.forward(np.array([[2.0], [-2.0]]), None)
            assert np.allclose(A.ravel(), [2.0, -2.0 * slope]), f"slope of layer {layer}"


def _check_saving(activation: Activation, layer: int) -> None:
    """Another unit that is given what one saved has its parameters."""
    unit, again = (activation.unit(layer, 4, None) for _ in range(2))
    for value in unit.parameters().values():
        value += 0.25
    again.restore({name: np.array(array, copy=True) for name, array in unit.saved()})
    for name, value in unit.parameters().items():
        assert np.array_equal(again.parameters()[name], value), f"{name} is not saved"


def _check_activation_gradients(
    activation: Activation, layer: int, dropout: Dropout | None, Z: Any
) -> None:
    unit = activation.unit(layer, Z.shape[0], dropout)
    weights = np.random.default_rng(1).standard_normal(Z.shape)

    def value(z: Any) -> float:
        return float((weights * unit.forward(z.copy(), 3)).sum())

    unit.forward(Z.copy(), 3)
    DZ = unit.backward(weights.copy())
    gradients = {name: g.copy() for name, g in unit.gradients().items()}
    _compare(DZ, numerical_gradient(value, Z), f"DZ of layer {layer}")
    for name, p in unit.parameters().items():
        p64 = p.astype(np.float64)

        def value_of(candidate: Any, p: Any = p) -> float:
            saved = p.copy()
            p[...] = candidate
            result = value(Z)
            p[...] = saved
            return result

        numerical = numerical_gradient(value_of, p64, step=1e-2)  # parameters are float32
        _compare(gradients[name], numerical, f"gradient of {name}", tolerance=2e-2)


def check_loss(loss: Loss) -> None:
    """The gradient is that of the mean over the batch; values agree; nothing overflows. With
    weights a sample of weight 2 counts as two, where the loss takes weights."""
    check_parameters(loss)
    rng = np.random.default_rng(0)
    Z, T = rng.standard_normal((4, 7)), targets_for(loss, 4, 7, rng)
    _check_gradient(loss, Z, T, {})
    far = np.array([[500.0, -500.0], [-500.0, 500.0]], dtype=np.float32)
    value, DZ = loss.value_and_gradient(far.copy(), targets_for(loss, 2, 2, rng))
    assert np.isfinite(value), "the loss of large outputs is not finite"
    assert np.isfinite(DZ).all(), "the gradient of large outputs is not finite"
    if "weights" in inspect.signature(loss.value).parameters:
        weights = rng.integers(1, 4, size=7)
        _check_gradient(loss, Z, T, {"weights": weights})
        Z2, T2 = np.repeat(Z, weights, axis=1), np.repeat(T, weights, axis=-1)
        weighted = loss.value(Z.copy(), T, weights=weights)  # type: ignore[call-arg, arg-type]
        repeated = loss.value(Z2, T2)  # type: ignore[arg-type]
        assert np.isclose(weighted, repeated), "weight 2 is not a sample twice"


def _check_gradient(loss: Loss, Z: Any, T: Any, more: dict[str, Any]) -> None:
    before, kept = loss.value(Z.copy(), T, **more), T.copy()
    value, DZ = loss.value_and_gradient(Z.copy(), T, **more)
    assert np.array_equal(T, kept), "value_and_gradient() writes into the targets"
    assert np.isclose(before, value), "value() and value_and_gradient() differ"
    _compare(DZ, numerical_gradient(lambda z: loss.value(z.copy(), T, **more), Z), "DZ")


def targets_for(loss: Loss, K: int, N: int, rng: np.random.Generator) -> Any:
    """Targets that the loss can compare K outputs with, of N samples."""
    if loss.targets == "labels":
        return rng.integers(K, size=N)
    if loss.targets == "flags":
        return rng.integers(2, size=(K, N)).astype(np.float32)
    return rng.standard_normal((K, N)).astype(np.float32)


def check_optimizer(optimizer: Optimizer) -> None:
    """Entries do not mix, the gradient is left alone, and descent descends."""
    check_parameters(optimizer)
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal(50).astype(np.float32), rng.standard_normal(50).astype(np.float32)
    whole, parts = w.copy(), w.copy()
    state = [np.zeros_like(w) for _ in optimizer.slots]
    halves = [[np.zeros_like(w[:20]), np.zeros_like(w[20:])] for _ in optimizer.slots]
    for t in (1, 2, 3):
        given = g.copy()
        optimizer.update(whole, given, state, 0.01, t, "weight")
        assert np.array_equal(given, g), "update() writes into the gradient"
        optimizer.update(parts[:20], g[:20].copy(), [h[0] for h in halves], 0.01, t, "weight")
        optimizer.update(parts[20:], g[20:].copy(), [h[1] for h in halves], 0.01, t, "weight")
    assert np.array_equal(whole, parts), "an entry's update depends on the other entries"
    assert not np.array_equal(whole, w), "update() changed nothing"
    x = np.full(1, 3.0, dtype=np.float32)
    state = [np.zeros_like(x) for _ in optimizer.slots]
    for t in range(1, 400):
        optimizer.update(x, 2 * x, state, 0.05, t, "weight")
    assert abs(float(x[0])) < 0.3, "does not descend x^2 from 3 in 400 steps at rate 0.05"


def check_schedule(schedule: Schedule) -> None:
    """A finite factor, never negative, at every step; no state."""
    check_parameters(schedule)
    first = [schedule.factor(t, 40, 10) for t in range(1, 41)]
    assert all(np.isfinite(first)), "a factor is not finite"
    assert min(first) >= 0, "a factor is negative"
    assert first == [schedule.factor(t, 40, 10) for t in range(1, 41)], "factors depend on history"


def check_initializer(initializer: Initializer) -> None:
    """float32, as many as asked for, finite, repeatable."""
    check_parameters(initializer)
    pattern = random_pattern((20, 30), 100, np.random.default_rng(0))
    for count in (0, 1, 100):
        values = initializer.draw(pattern, count, np.random.default_rng(3))
        assert values.dtype == np.float32, f"draws {values.dtype}"
        assert values.shape == (count,), f"draws {values.shape} for {count}"
        assert np.isfinite(values).all(), "draws a value that is not finite"
        again = initializer.draw(pattern, count, np.random.default_rng(3))
        assert np.array_equal(values, again), "equal generators, different values"


def check_dataset(dataset: Dataset) -> None:
    """Loads twice the same, with features in two dimensions and a target per sample."""
    check_parameters(dataset)
    first, second = dataset.load(), dataset.load()
    assert isinstance(dataset.identity(), dict), "identity() gives no dict"
    if isinstance(first, Parts):
        assert isinstance(second, Parts)
        for name in ("X_train", "y_train", "X_test", "y_test"):
            a, b = getattr(first, name), getattr(second, name)
            assert (a is None and b is None) or np.array_equal(a, b), f"{name} changes"
        assert first.X_train.ndim == 2, "X is not (samples, features)"
        assert first.y_train.shape[:1] == first.X_train.shape[:1], "a target per sample"
        return
    train, test, outputs = first
    for samples in (train, test):
        rows = np.arange(min(5, len(samples.targets)))
        X = samples.batch(rows)
        assert X.shape == (samples.features, rows.size), f"batch() gives {X.shape}"
        assert X.dtype == np.float32, f"batch() gives {X.dtype}"
        assert X.flags.c_contiguous, "batch() is not contiguous"
        if samples.targets.dtype.kind in "iu":
            assert samples.targets.min() >= 0, "labels count from 0"
            assert samples.targets.max() < outputs, "a label outside the classes"
        assert np.array_equal(X, samples.batch(rows)), "batch() changes"


class _DenseLayer:
    """A plain float64 layer, to take a model's gradients with."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b, self.shape = W, b, W.shape
        self.DW, self.Db = np.zeros_like(W), np.zeros_like(b)

    nnz = property(lambda self: self.W.size)

    def forward(self, X: Any, Z: Any) -> None:
        Z[...] = self.W @ X + self.b[:, None]

    def backward(self, X: Any, DZ: Any, DX: Any) -> None:
        self.DW, self.Db = DZ @ X.T, DZ.sum(axis=1)
        if DX is not None:
            DX[...] = self.W.T @ DZ

    def weights(self) -> Any:
        return SimpleNamespace(data=self.W.reshape(-1))

    def bias(self) -> Any:
        return self.b

    def gradients(self) -> tuple[Any, Any]:
        return self.DW.reshape(-1), self.Db

    def step(self, rate: float, t: int) -> None:
        self.W -= rate * self.DW
        self.b -= rate * self.Db

    def step_by(self, DW: Any, Db: Any, rate: float, t: int) -> None:
        self.DW, self.Db = np.array(DW).reshape(self.shape), np.array(Db)
        self.step(rate, t)

    def assign(self, data: Any, bias: Any) -> None:
        self.W[...] = np.reshape(data, self.shape)
        self.b[...] = bias


def check_model(
    model: Model, optimizer: Optimizer, outputs: int = 3, loss: Loss | None = None
) -> None:
    """Shapes chain from 6 features to outputs; the gradients of the whole network, taken in
    training with dropout, are those of finite differences; values and gradients can be taken
    out and put in, parameters of units included. `loss` is softmax cross-entropy unless given."""
    check_parameters(model)
    loss = loss if loss is not None else _CrossEntropy()
    shapes = model.shapes(6, outputs)
    assert shapes[0][1] == 6, "the first layer does not take the features"
    assert shapes[-1][0] == outputs, "the last layer does not give the outputs"
    for (K, _), (_, D) in pairwise(shapes):
        assert K == D, f"layers do not chain: {shapes}"
    rng = np.random.default_rng(0)
    layers = [_DenseLayer(rng.standard_normal(s), rng.standard_normal(s[0])) for s in shapes]
    network = _network(model, layers, optimizer, loss)
    X, y = rng.standard_normal((6, 5)).astype(np.float32), targets_for(loss, outputs, 5, rng)
    network.compute_gradients(X, y, 1)
    for number, layer in enumerate(layers):
        DW = layer.DW.copy()

        def value(W: Any, layer: _DenseLayer = layer) -> float:
            saved, layer.W = layer.W, W
            result = network.compute_gradients(X, y, 1)
            layer.W = saved
            return result

        numerical = numerical_gradient(value, layer.W, step=1e-2)  # activations are float32
        _compare(DW, numerical, f"gradient of layer {number + 1}", tolerance=2e-2)
    twins = [_DenseLayer(layer.W.copy(), layer.b.copy()) for layer in layers]
    _check_values(network, _network(model, twins, optimizer, loss), X, y)


class _NoBackend:
    truly_sparse = False

    def layer(self, W: CsrMatrix, bias: Any, optimizer: Optimizer) -> Layer:
        raise NotImplementedError


def _network(model: Model, layers: list[_DenseLayer], optimizer: Optimizer, loss: Loss) -> Network:
    return model.network(layers, _NoBackend(), optimizer, 0, loss)  # type: ignore[arg-type]


class _CrossEntropy:
    """A loss to take a model's gradients with."""

    targets: Literal["labels"] = "labels"

    def value(self, Z: Any, T: Any) -> float:
        return self.value_and_gradient(Z, T)[0]

    def value_and_gradient(self, Z: Any, T: Any) -> tuple[float, Any]:
        P = np.exp(Z - Z.max(axis=0))
        P /= P.sum(axis=0)
        at = (T, np.arange(T.size))
        value = float(-np.log(P[at]).mean())
        P[at] -= 1
        return value, P / T.size


def _check_values(network: Network, twin: Network, X: Any, y: Any) -> None:
    """A network that is stepped by another's gradients goes the same way; `assign` takes over
    `values`; layers are announced when their gradients are there, last one first."""
    count = len(network.layers)
    for t in (1, 2):
        announced: list[int] = []
        at_once: dict[int, Any] = {}

        def ready(number: int, announced: list[int] = announced, at: Any = at_once) -> None:
            announced.append(number)
            at[number] = np.array(network.layers[number].gradients()[0])

        network.compute_gradients(X, y, t, ready)
        assert announced == list(range(count))[::-1], f"layers announced: {announced}"
        gradients = [np.array(array) for array in network.gradients()]
        for number, DW in at_once.items():
            assert np.array_equal(DW, gradients[2 * number]), f"layer {number} came too early"
        sizes = [value.size for value in network.values()]
        assert [array.size for array in gradients] == sizes, "gradients are not as the values"
        own = sum(array.size for array in network.parameters().values())
        assert sum(sizes[2 * count :]) == own, "values() does not end with the parameters"
        network.step(0.1, t)
        twin.step_by(gradients, 0.1, t)
        for number, (a, b) in enumerate(zip(network.values(), twin.values(), strict=True)):
            assert np.allclose(a, b, atol=1e-6), f"values {number} after step_by {t}"
    given = [np.array(value) + 1 for value in network.values()]
    twin.assign([value.copy() for value in given])
    for number, (a, b) in enumerate(zip(given, twin.values(), strict=True)):
        assert np.allclose(a, b, atol=1e-6), f"values {number} after assign"


def numerical_gradient(value: Any, at: Any, step: float = STEP) -> Any:
    """Central differences of a scalar function at an array, entry by entry."""
    gradient = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (value(up) - value(down)) / (2 * step)
    return gradient


def _compare(found: Any, expected: Any, what: str, tolerance: float = 1e-6) -> None:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    apart = float(np.abs(found - expected).max(initial=0.0))
    assert apart <= tolerance * scale, f"{what}: off by {apart:.1e} from finite differences"
