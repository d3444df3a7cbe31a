"""The layer between the kernels: its two orders, tiles, bfloat16, and a network over it."""

from __future__ import annotations

from functools import partial

import numba
import numpy as np
import pytest
from small import small_work
from sparsebench_plugins.backends.numba_csr import NumbaCsr, arguments
from sparsebench_plugins.backends.numba_csr.compiled_step import batch_split
from sparsebench_plugins.losses import CrossEntropy
from sparsebench_plugins.optimizers import SGD, Adam

from sparsebench import testing
from sparsebench.core.protocols import Optimizer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.core.training.loop import train
from sparsebench.errors import SuiteError
from sparsebench.testing.fixtures import random_matrix

ORIGINAL = arguments.of
JIT = not getattr(numba.config, "DISABLE_JIT", False)


def layer_of(shape=(40, 30), nnz=300, optimizer: Optimizer | None = None, **given):
    W = random_matrix(shape, nnz, np.random.default_rng(0))
    mine = CsrMatrix(W.pattern, W.data.copy())
    bias = np.zeros(shape[0], np.float32)
    return NumbaCsr(**given).layer(mine, bias, optimizer or SGD(momentum=0.9))


def step(layer, N, t, rate=0.1):
    rng = np.random.default_rng(t)
    X = rng.standard_normal((layer.shape[1], N)).astype(np.float32)
    DZ = rng.standard_normal((layer.shape[0], N)).astype(np.float32)
    DX = np.empty_like(X)
    layer.backward_and_step(X, DZ, DX, rate, t)
    return DX


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam()], ids=["sgd", "adam"])
def test_the_order_of_storage_does_not_show(optimizer):
    """Small, then large batches, a change, small again: as if large all along."""
    changing, large = (layer_of(optimizer=optimizer) for _ in range(2))
    large.by_column()
    rng = np.random.default_rng(1)
    keep = rng.random(300) < 0.8
    for t, N in enumerate([2, 3, 20, 5, 40], start=1):
        np.testing.assert_allclose(step(changing, N, t), step(large, N, t), atol=1e-4)
        if t == 3:
            for layer in (changing, large):
                layer.apply_change(Change.drop(keep))
        np.testing.assert_allclose(changing.weights().data, large.weights().data, atol=1e-5)
        for name, slot in changing.state().items():
            np.testing.assert_allclose(slot, large.state()[name], atol=1e-5)


def test_small_batches_of_large_networks_go_by_blocks(build, monkeypatch):
    """Losses, topology changes and evaluations in between as those of plain csr."""
    monkeypatch.setattr(batch_split, "IN_CACHE", 0)  # as if the network were large
    losses = []
    for name in ("numba-csr", "scipy-csr"):
        optimizer = {"name": "sgd", "learning_rate": 0.005, "momentum": 0.9}
        work = small_work(build, backend=name, optimizer=optimizer, batch_size=4)
        result = train(work)
        losses.append([epoch.train_loss for epoch in result.epochs])
        if name == "numba-csr":
            assert all(layer.in_blocks for layer in result.network.layers)
    np.testing.assert_allclose(losses[0][:2], losses[1][:2], rtol=1e-3)


def test_bytes_per_connection_are_what_the_docs_say():
    """12 for small batches and in evaluation, 24 for large ones, 28 with Adam; more by neuron."""
    nnz = 200_000

    def per_connection(optimizer, N):
        layer = layer_of((500, 400), nnz, optimizer)
        if N:
            step(layer, N, 1)
        stored = layer.stored_bytes()
        return sum(stored[key] for key in ("weights", "indices", "optimizer", "gradient")) / nnz

    per_neuron = 0.1
    assert per_connection(SGD(momentum=0.9), 0) <= 12 + per_neuron
    assert per_connection(SGD(momentum=0.9), 2) <= 12 + per_neuron
    assert per_connection(SGD(momentum=0.9), 64) <= 24 + per_neuron
    assert per_connection(Adam(), 64) <= 28 + per_neuron


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), Adam()])
def test_tiles_give_the_same_gradients_through_a_network(build, monkeypatch, optimizer):
    """A tiny cache makes every hidden array a tiled one, where the optimizer allows it."""
    model = build("model", {"name": "mlp", "hidden": [40, 30], "dropout": 0.2})
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 96)).astype(np.float32), rng.integers(4, size=96)
    weights = []
    for untiled in (arguments.UNTILED, 2**13):
        monkeypatch.setattr(arguments, "of", partial(ORIGINAL, untiled=untiled))
        backend = NumbaCsr(step="layers")
        layers = [
            backend.layer(
                random_matrix(shape, 100, np.random.default_rng(3)),
                np.zeros(shape[0], np.float32),
                optimizer,
            )
            for shape in model.shapes(20, 4)
        ]
        net = model.network(layers, backend, optimizer, 0, CrossEntropy())
        for t in range(1, 5):
            net.train_step(X, y, 0.1, t)
        if untiled < arguments.UNTILED:
            tiled = [unit.layout.tile < 96 for unit in net.units]
            assert all(tiled) == (optimizer == SGD(momentum=0.9))
        weights.append([layer.weights().data.copy() for layer in net.layers])
    for plain, tiles in zip(*weights, strict=True):
        np.testing.assert_allclose(tiles, plain, atol=1e-5)


@pytest.mark.skipif(not JIT, reason="bfloat16 needs the compiled kernels")
@pytest.mark.parametrize("batch_size", [4, 32])
@pytest.mark.parametrize(
    ("given", "tolerance"),
    [
        ({"activations": "bfloat16"}, 0.02),
        ({"momenta": "bfloat16"}, 0.02),
    ],
    ids=str,
)
def test_bfloat16_learns_as_float32_does(build, batch_size, given, tolerance):
    """Losses of the first two epochs within a few percent, the topology changed between; later
    ones wander as with another seed, but learn."""
    losses = []
    for options in ({}, given):
        backend = {"name": "numba-csr", **options}
        optimizer = {"name": "sgd", "learning_rate": 0.05 * batch_size / 32, "momentum": 0.9}
        work = small_work(build, backend=backend, optimizer=optimizer, batch_size=batch_size)
        result = train(work)
        losses.append(np.array([epoch.train_loss for epoch in result.epochs]))
    assert all(loss[-1] < 0.9 * loss[0] for loss in losses)
    np.testing.assert_allclose(losses[1][:2], losses[0][:2], rtol=tolerance)
    assert not np.array_equal(losses[1], losses[0])


@pytest.mark.skipif(not JIT, reason="bfloat16 needs the compiled kernels")
def test_bfloat16_activations_need_an_activation_of_the_backend(build):
    model = {"name": "mlp", "hidden": [10], "activation": "tanh"}
    backend = {"name": "numba-csr", "activations": "bfloat16"}
    with pytest.raises(SuiteError, match="activations = 'float32'"):
        train(small_work(build, model=model, backend=backend))


def test_plain_loops_take_no_bfloat16():
    with pytest.raises(ValueError, match="kernels 'plain' takes float32"):
        NumbaCsr(kernels="plain", momenta="bfloat16")


@pytest.mark.skipif(not JIT, reason="one kind of kernels without a compiler")
@pytest.mark.parametrize("kernels", ["simd", "plain"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_both_kinds_of_kernels_pass_the_kit(build, kernels, optimizer):
    given = {"name": "sgd", "momentum": 0.9} if optimizer == "sgd" else optimizer
    testing.check_backend(NumbaCsr(kernels=kernels), [build("optimizer", given)])
