"""The dense baseline stores no more than dense training needs, and trains to the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from sparsebench_plugins.backends.dense_mask import DenseMask

from sparsebench.core.sparse.csr import Change, CsrMatrix, CsrPattern

K, D, N = 7, 5, 6


@pytest.fixture
def layers(build):
    """A layer with every connection, and its twin with a mask of ones."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal(K * D, dtype=np.float32)
    optimizer = build("optimizer", {"name": "sgd", "momentum": 0.9, "weight_decay": 0.01})

    def layer():
        W = CsrMatrix(CsrPattern.full((K, D)), values.copy())
        return DenseMask().layer(W, np.zeros(K, dtype=np.float32), optimizer)

    plain, masked = layer(), layer()
    masked.M, masked._partial = np.ones_like(masked.W), CsrPattern.full((K, D))
    return plain, masked


def test_a_full_layer_trains_without_mask_and_indices_to_the_same_bits(layers):
    plain, masked = layers
    rng = np.random.default_rng(4)

    def step(t):
        X = rng.standard_normal((D, N), dtype=np.float32)
        DZ = rng.standard_normal((K, N), dtype=np.float32)
        for layer in layers:
            layer.backward_and_step(X, DZ, np.empty_like(X), 0.1, t)

    def equal():
        W, twin = plain.weights(), masked.weights()
        assert np.array_equal(W.pattern.keys(), twin.pattern.keys())
        assert np.array_equal(W.data, twin.data)
        assert all(np.array_equal(plain.state()[k], masked.state()[k]) for k in plain.state())
        assert plain.nnz == masked.nnz == W.nnz

    step(1)
    equal()
    dense = 4 * K * D
    stored = plain.stored_bytes()
    assert {k: stored[k] for k in stored if k != "bias"} == {
        "weights": dense, "optimizer": dense, "gradient": dense,
    }  # fmt: skip
    keep = np.arange(K * D) % 3 > 0
    for layer in layers:
        layer.apply_change(Change.drop(keep))
    step(2)
    equal()
    assert plain.stored_bytes() == masked.stored_bytes()
    assert plain.stored_bytes()["mask"] == dense
    gone = np.flatnonzero(~keep)
    back = Change(np.ones(plain.nnz, bool), gone // D, gone % D, np.ones(gone.size, np.float32))
    for layer in layers:
        layer.apply_change(back)
    step(3)
    equal()
    assert "mask" not in plain.stored_bytes()


def test_a_gradient_from_elsewhere_leaves_nothing_off_the_connections(layers):
    """A parallel trainer's: what the last backward pass left at a dropped connection is no part of
    it."""
    layer, _ = layers
    rng = np.random.default_rng(5)
    X, DZ = (rng.standard_normal((rows, N), dtype=np.float32) for rows in (D, K))
    layer.backward(X, DZ, None)
    keep = rng.random(K * D) < 0.5
    layer.apply_change(Change.drop(keep))
    layer.step_by(np.ones(layer.nnz, np.float32), np.zeros(K, np.float32), 0.1, 2)
    assert not layer.W.reshape(-1)[~keep].any()
