"""Checks of the smaller components, such as losses and optimizers; gradients are compared with
finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from sparsebench.core.arrays import Matrix
from sparsebench.core.csr_batch import Batch, CsrBatch
from sparsebench.core.data.dataset import Dataset
from sparsebench.core.data.samples import Parts, array_fingerprint
from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.protocols import (
    Activation,
    Initializer,
    Loss,
    Model,
    Network,
    Optimizer,
    Schedule,
)
from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.discovery import load_plugins
from sparsebench.testing.fixtures import check_close, check_parameters, random_matrix

STEP = 1e-6
"""The step of central differences in float64. The truncation error is of order STEP^2 f''' = 1e-12
and the rounding error of order 1e-16 / STEP = 1e-10, far below the tolerance of 1e-6."""


def _check_gradient(
    found: Any, value: Callable[[], float], at: Any, what: str, *, single: bool = False
) -> None:
    """Check that the gradient `found` agrees with central differences of `value()`, which depends
    on the array `at`.

    single  whether an intermediate result is float32: the differences are then coarser
    """
    step, numerical = 1e-2 if single else STEP, np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        kept = at[index]
        at[index] = kept + step
        up = value()
        at[index] = kept - step
        numerical[index] = (up - value()) / (2 * step)
        at[index] = kept
    check_close(found, numerical, f"{what} against finite differences", 2e-2 if single else 1e-6)


def check_activation(activation: Activation) -> None:
    """Check that `backward` agrees with the derivative of `forward`, with and without dropout, in
    the first three hidden layers; that the gradients of trained parameters do; that trained
    parameters are saved and restored; and that a declared slope is correct."""
    check_parameters(activation)
    rng = np.random.default_rng(0)
    for layer in (1, 2, 3):
        for dropout in (None, Dropout(0.4, key=5)):
            Z = rng.uniform(-3, 3, (6, 5))
            Z[np.abs(Z) < 0.05] = 0.5  # finite differences do not see a kink
            unit = activation.unit(layer, Z.shape[0], dropout)
            weights: Any = np.random.default_rng(1).standard_normal(Z.shape)

            def value(unit: Any = unit, weights: Any = weights, Z: Any = Z) -> float:
                return float((weights * unit.forward(Z.copy(), 3)).sum())

            value()
            DZ = unit.backward(weights.copy())
            gradients = {name: g.copy() for name, g in unit.gradients().items()}
            _check_gradient(DZ, value, Z, f"DZ of layer {layer}")
            for name, p in unit.parameters().items():
                _check_gradient(gradients[name], value, p, f"gradient of {name}", single=True)
        unit, again = (activation.unit(layer, 4, None) for _ in range(2))
        for array in unit.parameters().values():
            array += 0.25
        again.restore({name: np.array(array, copy=True) for name, array in unit.saved()})
        for name, array in unit.parameters().items():
            assert np.array_equal(again.parameters()[name], array), f"{name} is not saved"
        slope = activation.negative_slope(layer)
        if slope is not None:
            unit = activation.unit(layer, 2, None)
            A = unit.forward(np.array([[2.0], [-2.0]]), None)
            assert np.allclose(A.ravel(), [2.0, -2.0 * slope]), f"slope of layer {layer}"


def check_loss(loss: Loss) -> None:
    """Check that the value is the mean over the batch, that the gradient is its derivative, and
    that outputs of 500 do not overflow. A loss that accepts sample weights must count a sample of
    weight 2 as two samples."""
    check_parameters(loss)
    rng = np.random.default_rng(0)
    Z: Any = rng.standard_normal((4, 7))
    T, weights = _targets(loss, 4, 7, rng), rng.integers(1, 4, size=7)
    extras: list[dict[str, Any]] = [{}]
    if "weights" in inspect.signature(loss.value).parameters:
        extras.append({"weights": weights})
    for more in extras:
        before, kept = loss.value(Z.copy(), T, **more), T.copy()
        value, DZ = loss.value_and_gradient(Z.copy(), T, **more)
        assert np.array_equal(T, kept), "value_and_gradient() writes into the targets"
        assert np.isclose(before, value), "value() and value_and_gradient() differ"

        def value_at(more: dict[str, Any] = more) -> float:
            return loss.value(Z.copy(), T, **more)

        _check_gradient(DZ, value_at, Z, "DZ")
        if more:
            repeated = loss.value(np.repeat(Z, weights, axis=1), np.repeat(T, weights, axis=-1))
            assert np.isclose(value, repeated), "weight 2 is not a sample twice"
    far = np.array([[500.0, -500.0], [-500.0, 500.0]], dtype=np.float32)
    value, DZ = loss.value_and_gradient(far.copy(), _targets(loss, 2, 2, rng))
    assert np.isfinite(value), "the loss of large outputs is not finite"
    assert np.isfinite(DZ).all(), "the gradient of large outputs is not finite"


def _targets(loss: Loss, K: int, N: int, rng: np.random.Generator) -> Any:
    """Random targets for K outputs and N samples, of the kind that the loss needs."""
    if loss.targets == "labels":
        return rng.integers(K, size=N)
    if loss.targets == "flags":
        return rng.integers(2, size=(K, N)).astype(np.float32)
    return rng.standard_normal((K, N)).astype(np.float32)


def check_optimizer(optimizer: Optimizer) -> None:
    """Check that each entry is updated on its own, that the gradient is not changed, and that steps
    descend x^2 to near its minimum."""
    check_parameters(optimizer)
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal(50).astype(np.float32), rng.standard_normal(50).astype(np.float32)
    whole, parts = w.copy(), w.copy()
    state = [np.zeros_like(w) for _ in optimizer.slots]
    parts_state = [np.zeros_like(w) for _ in optimizer.slots]
    for t in (1, 2, 3):
        gradient = g.copy()
        optimizer.update(whole, gradient, state, 0.01, t, "weight")
        assert np.array_equal(gradient, g), "update() writes into the gradient"
        for part in (slice(20), slice(20, 50)):
            slots = [array[part] for array in parts_state]
            optimizer.update(parts[part], g[part].copy(), slots, 0.01, t, "weight")
    assert np.array_equal(whole, parts), "an entry's update depends on the other entries"
    assert not np.array_equal(whole, w), "update() changed nothing"
    x = np.full(1, 3.0, dtype=np.float32)
    state = [np.zeros_like(x) for _ in optimizer.slots]
    for t in range(1, 400):
        optimizer.update(x, 2 * x, state, 0.05, t, "weight")
    assert abs(float(x[0])) < 0.3, "does not descend x^2 from 3 in 400 steps at rate 0.05"


def check_schedule(schedule: Schedule) -> None:
    """Check that the factor is finite and not negative at every step, and that it does not depend
    on earlier calls."""
    check_parameters(schedule)
    first = [schedule.factor(t, 40, 10) for t in range(1, 41)]
    assert all(np.isfinite(first)), "a factor is not finite"
    assert min(first) >= 0, "a factor is negative"
    assert first == [schedule.factor(t, 40, 10) for t in range(1, 41)], "factors depend on history"


def check_initializer(initializer: Initializer) -> None:
    """Check that an initializer draws the requested number of finite float32 values, and the same
    ones from equal generators."""
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
    """Check that loading twice gives the same data, with features (samples, features) and a target
    per sample."""
    check_parameters(dataset)
    first, second = dataset.load(), dataset.load()
    assert isinstance(dataset.identity(), dict), "identity() gives no dict"
    if isinstance(first, Parts):
        assert isinstance(second, Parts)
        for name in ("X_train", "y_train", "X_test", "y_test"):
            a, b = getattr(first, name), getattr(second, name)
            assert _same(a, b), f"{name} changes"
        assert first.X_train.ndim == 2, "X is not (samples, features)"
        assert first.y_train.shape[:1] == first.X_train.shape[:1], "a target per sample"
        return
    train, test, outputs = first
    for samples in (train, test):
        rows = np.arange(min(5, len(samples.targets)))
        X = _values(samples.batch(rows))
        assert X.shape == (samples.features, rows.size), f"batch() gives {X.shape}"
        assert X.dtype == np.float32, f"batch() gives {X.dtype}"
        assert X.flags.c_contiguous, "batch() is not contiguous"
        if samples.targets.dtype.kind in "iu":
            assert samples.targets.min() >= 0, "labels count from 0"
            assert samples.targets.max() < outputs, "a label outside the classes"
        assert np.array_equal(X, _values(samples.batch(rows))), "batch() changes"


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return array_fingerprint({"X": a}) == array_fingerprint({"X": b})


def _values(X: Batch) -> Matrix:
    return X.dense() if isinstance(X, CsrBatch) else X


def check_model(
    model: Model, optimizer: Optimizer, outputs: int = 3, loss: Loss | None = None
) -> None:
    """Check a model's network with 6 features and `outputs` outputs: the shapes of its layers fit
    together; its gradients, with dropout, agree with finite differences; a network that is stepped
    by the gradients of another stays equal to it; and `assign` sets everything that `values`
    returns, including trained parameters of activations.

    loss  by default softmax cross-entropy
    """
    check_parameters(model)
    plugins = load_plugins()
    backend: Any = plugins.build("backend", {"name": "dense-mask"})
    if loss is None:
        loss = plugins.build("loss", {"name": "cross-entropy"})
    shapes = model.shapes(6, outputs)
    assert shapes[0][1] == 6, "the first layer does not take the features"
    assert shapes[-1][0] == outputs, "the last layer does not give the outputs"
    for (K, _), (_, D) in pairwise(shapes):
        assert K == D, f"layers do not chain: {shapes}"
    rng = np.random.default_rng(0)
    matrices = [random_matrix((K, D), K * D, rng) for K, D in shapes]
    biases = [rng.standard_normal(K).astype(np.float32) for K, _ in shapes]

    def network_of(loss: Loss) -> Network:
        layers = [
            backend.layer(CsrMatrix(W.pattern, W.data.copy()), bias.copy(), optimizer)
            for W, bias in zip(matrices, biases, strict=True)
        ]
        return model.network(layers, backend, optimizer, 0, loss)

    network = network_of(loss)
    X, y = rng.standard_normal((6, 5)).astype(np.float32), _targets(loss, outputs, 5, rng)
    network.compute_gradients(X, y, 1)
    gradients = [np.array(layer.gradients()[0], copy=True) for layer in network.layers]
    for number, (W, bias, DW) in enumerate(zip(matrices, biases, gradients, strict=True)):
        data = W.data.copy()

        def value(layer: Any = network.layers[number], data: Any = data, bias: Any = bias) -> float:
            layer.assign(data, bias)
            return network.compute_gradients(X, y, 1)

        _check_gradient(DW, value, data, f"gradient of layer {number + 1}", single=True)
        network.layers[number].assign(W.data, bias)
    _check_values(network, network_of(loss), X, y)


def _check_values(network: Network, twin: Network, X: Any, y: Any) -> None:
    """Check that a network stepped by another's gradients keeps the same values, that `assign` sets
    `values`, and that `ready` is called for the layers from last to first."""
    count = len(network.layers)
    for t in (1, 2):
        at_once: dict[int, Any] = {}

        def ready(number: int, at_once: Any = at_once) -> None:
            at_once[number] = np.array(network.layers[number].gradients()[0])

        network.compute_gradients(X, y, t, ready)
        assert list(at_once) == list(range(count))[::-1], f"layers announced: {list(at_once)}"
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
    values = [np.array(value) + 1 for value in network.values()]
    twin.assign([value.copy() for value in values])
    for number, (a, b) in enumerate(zip(values, twin.values(), strict=True)):
        assert np.allclose(a, b, atol=1e-6), f"values {number} after assign"
