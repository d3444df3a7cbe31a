"""numba-csr's first layer on csr inputs: twins, threads, and columns that are left behind."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from sparsebench_plugins.backends.numba_csr import NumbaCsr, csr_passes
from sparsebench_plugins.optimizers import SGD, Adam

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.testing.fixtures import PlainDescent, random_matrix

JIT = not getattr(numba.config, "DISABLE_JIT", False)
KINDS = ["simd", "plain"] if JIT else ["plain"]

# Run as plain Python (NUMBA_DISABLE_JIT=1), the generator's wrapping products warn.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")

OPTIMIZERS = {
    "momentum": SGD(momentum=0.9, weight_decay=0.01),
    "decoupled": SGD(momentum=0.8, weight_decay=0.1, decay="decoupled"),
    "nesterov": SGD(momentum=0.9, nesterov=True, weight_decay=0.01, decay="decoupled-unscaled"),
    "decay alone": SGD(weight_decay=0.01),
    "plain": SGD(),
    "adam": Adam(weight_decay=0.01),
    "adamw": Adam(weight_decay=0.1, decay="decoupled"),
    "not ours": PlainDescent(),
}


def layer_of(optimizer, shape=(37, 150), nnz=900, **given):
    W = random_matrix(shape, nnz, np.random.default_rng(0))
    mine = CsrMatrix(W.pattern, W.data.copy())
    return NumbaCsr(**given).layer(mine, np.zeros(shape[0], np.float32), optimizer)


def batch(t, D=150, N=21, density=0.04):
    rng = np.random.default_rng(t)
    X = rng.standard_normal((D, N)) * (rng.random((D, N)) < density)
    if t % 3 == 0:
        X[:, ::2] = 0  # samples without values
    return X.astype(np.float32), rng.standard_normal((37, N)).astype(np.float32)


def walk(layer, look, steps=30, csr=True):
    """Steps with a rate of their own each, and a look at the layer between some of them."""
    for t in range(1, steps + 1):
        X, DZ = batch(t)
        inputs = CsrBatch.of(X) if csr else X
        layer.forward(inputs, np.empty_like(DZ))
        layer.backward_and_step(inputs, DZ, None, 0.1 / t, t)
        look(layer, t)
    return [layer.weights().data.copy(), *(slot.copy() for slot in layer.state().values())]


def nothing(layer, t):
    pass


@pytest.mark.parametrize("kernels", KINDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_columns_that_are_left_behind_end_where_eager_ones_do(optimizer, kernels):
    """Bit for bit: nothing tells when somebody looked, and how far columns may fall behind."""
    rng = np.random.default_rng(1)
    looks = [
        lambda layer, t: layer.weights(),
        lambda layer, t: layer.state(),
        lambda layer, t: rng.random() < 0.2 and layer.weights(),
        lambda layer, t: rng.random() < 0.3 and layer.forward(
            CsrBatch.of(batch(99)[0]), np.empty((37, 21), np.float32)
        ),
    ]  # fmt: skip
    rule = OPTIMIZERS[optimizer]
    ends = [walk(layer_of(rule, kernels=kernels), look) for look in (nothing, *looks)]
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    dense = walk(layer_of(rule, kernels=kernels), nothing, csr=False)
    for a, b in zip(ends[0], dense, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_how_far_columns_fall_behind_does_not_show(monkeypatch):
    ends = []
    for most in (64, 3):
        monkeypatch.setattr(csr_passes, "MOST_STEPS", most)
        ends.append(walk(layer_of(OPTIMIZERS["momentum"]), nothing, steps=80))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not JIT, reason="bfloat16 needs the compiled kernels")
def test_bfloat16_momenta_are_never_behind():
    """Each of their steps rounds, so they are made at once: looking changes nothing."""
    rule = OPTIMIZERS["momentum"]
    ends = [
        walk(layer_of(rule, momenta="bfloat16"), look)
        for look in (nothing, lambda layer, t: layer.weights())
    ]
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not JIT, reason="one kind of kernels without a compiler")
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_vectors_and_loops_agree(optimizer):
    ends = [walk(layer_of(OPTIMIZERS[optimizer], kernels=kind), nothing) for kind in KINDS]
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.skipif(not JIT, reason="one thread without a compiler")
@pytest.mark.parametrize("kernels", KINDS)
def test_the_bits_are_those_of_any_number_of_threads(kernels, monkeypatch):
    """A layer large enough for several threads."""
    ends = []
    before = numba.get_num_threads()
    rng = np.random.default_rng(0)
    D, K, N = 3000, 300, 64
    X = (rng.standard_normal((D, N)) * (rng.random((D, N)) < 0.1)).astype(np.float32)
    DZ = rng.standard_normal((K, N)).astype(np.float32)
    inputs = CsrBatch.of(X)
    for threads in {1, min(2, before), before}:
        numba.set_num_threads(threads)
        layer = layer_of(OPTIMIZERS["momentum"], (K, D), 60_000, kernels=kernels)
        Z = np.empty_like(DZ)
        for t in (1, 2, 3):
            layer.forward(inputs, Z)
            layer.backward_and_step(inputs, DZ, None, 0.01, t)
        ends.append((Z, layer.weights().data.copy(), layer.state()["velocity"].copy()))
    numba.set_num_threads(before)
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_arrays_and_csr_may_alternate_and_the_topology_change():
    """Small, large and csr batches, changes, values that are assigned, saving: as arrays alone."""
    mixed, arrays = (layer_of(OPTIMIZERS["momentum"]) for _ in range(2))
    rng = np.random.default_rng(5)
    for t in range(1, 25):
        N = [3, 21, 12][t % 3]
        X, DZ = batch(t, N=N)
        DZ = np.ascontiguousarray(DZ[:, :N])
        inputs = CsrBatch.of(X) if t % 4 else X
        for layer, given in ((mixed, inputs), (arrays, X)):
            Z = np.empty_like(DZ)
            layer.forward(given, Z)
            layer.backward_and_step(given, DZ, None, 0.05, t)
        if t % 5 == 0:
            keep = rng.random(mixed.nnz) < 0.9
            for layer in (mixed, arrays):
                layer.apply_change(Change.drop(keep))
        if t == 8:
            data = rng.standard_normal(mixed.nnz).astype(np.float32)
            for layer in (mixed, arrays):
                layer.assign(data.copy(), layer.bias().copy())
        if t == 12:
            saved = {name: np.array(array) for name, array in mixed.saved()}
            W = mixed.weights()
            again = NumbaCsr().layer(
                CsrMatrix(W.pattern, W.data.copy()), mixed.bias().copy(), mixed.optimizer
            )
            again.restore(saved)
            mixed = again
        if t % 7 == 0:
            np.testing.assert_allclose(mixed.weights().data, arrays.weights().data, atol=2e-5)
    for name, slot in mixed.state().items():
        np.testing.assert_allclose(slot, arrays.state()[name], atol=2e-5)
    np.testing.assert_allclose(mixed.bias(), arrays.bias(), atol=2e-5)


def test_columns_and_samples_without_anything():
    """Empty batches, and connections that are all gone."""
    layer = layer_of(OPTIMIZERS["momentum"])
    empty = CsrBatch.of(np.zeros((150, 4), np.float32))
    Z = np.full((37, 4), np.nan, np.float32)
    layer.forward(empty, Z)
    assert not Z.any()
    before = layer.weights().data.copy()
    layer.backward_and_step(empty, np.ones_like(Z), None, 0.1, 1)
    np.testing.assert_allclose(layer.weights().data, before * (1 - 0.1 * 0.01), rtol=1e-6)
    layer.apply_change(Change.drop(np.zeros(layer.nnz, dtype=bool)))
    X = CsrBatch.of(batch(1)[0])
    Z = np.full((37, 21), np.nan, np.float32)
    layer.forward(X, Z)
    np.testing.assert_array_equal(Z, np.repeat(layer.bias()[:, None], 21, axis=1))
    layer.backward_and_step(X, np.ones_like(Z), None, 0.1, 2)


def test_what_is_kept_for_csr_inputs_is_of_their_size():
    """By feature 8 bytes and a bit, by stored value 16, and nothing of features x samples."""
    D, N = 20_000, 500
    layer = layer_of(OPTIMIZERS["momentum"], (37, D), 10_000)
    rng = np.random.default_rng(0)
    X = CsrBatch(
        np.arange(N + 1, dtype=np.int64) * 5,
        np.sort(rng.integers(D, size=(N, 1)) + np.arange(5), axis=1).ravel().astype(np.int32) % D,
        np.ones(5 * N, np.float32),
        D,
    )
    Z = np.ones((37, N), np.float32)
    layer.forward(X, Z)
    layer.backward_and_step(X, Z, None, 0.1, 1)
    passes = layer._csr
    assert passes is not None
    assert passes.nbytes < 8.1 * D + 16 * 5 * N + 5000
