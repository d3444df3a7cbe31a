"""The Boltzmann machine against its definition on small arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sparsebench_plugins.backends.scipy_csr import ScipyCsr
from sparsebench_plugins.losses import LinearSquaredError, sigmoid
from sparsebench_plugins.models import Rbm
from sparsebench_plugins.optimizers import SGD

from sparsebench.core.sparse.csr import CsrMatrix
from sparsebench.core.sparse.sampling import random_pattern
from sparsebench.errors import SuiteError
from sparsebench.seeds import generator

K, D, N = 5, 7, 4


@pytest.fixture
def machine():
    rng = np.random.default_rng(0)
    pattern = random_pattern((K, D), 20, rng)
    W = CsrMatrix(pattern, rng.standard_normal(pattern.nnz).astype(np.float32))
    optimizer, backend = SGD(learning_rate=0.1, momentum=0.9), ScipyCsr()
    layer = backend.layer(W, np.zeros(K, dtype=np.float32), optimizer)
    network = Rbm((K,), gibbs=2).network([layer], backend, optimizer, 3, LinearSquaredError())
    return network, rng.random((D, N), dtype=np.float32)


def test_a_step_is_contrastive_divergence_on_the_connections(machine):
    network, V0 = machine
    W = network.layers[0].weights()
    dense = np.zeros((K, D), dtype=np.float32)
    dense[W.rows, W.indices] = W.data
    rng = generator(3, "gibbs", 1)

    def hidden(V):
        return (sigmoid(dense @ V) > rng.random((K, N), dtype=np.float32)).astype(np.float32)

    H0 = H = hidden(V0)
    for _ in range(2):
        V = sigmoid(dense.T @ H)
        H = hidden(V)
    value = network.compute_gradients(V0, V0, 1)
    slopes, Db, visible = network.gradients()
    full = (H @ V.T - H0 @ V0.T) / N
    assert slopes == pytest.approx(full[W.rows, W.indices], abs=1e-5)
    assert Db == pytest.approx((H - H0).mean(axis=1), abs=1e-6)
    assert visible == pytest.approx((V - V0).mean(axis=1), abs=1e-6)
    assert value == pytest.approx(((V - V0) ** 2).sum() / (2 * N), rel=1e-5)


def test_it_continues_from_what_it_saved(machine):
    network, V0 = machine
    network.train_step(V0, V0, 0.1, 1)
    optimizer, backend = SGD(learning_rate=0.1, momentum=0.9), ScipyCsr()
    values = [array.copy() for array in network.values()]
    W = CsrMatrix(network.layers[0].weights().pattern, values[0])
    layer = backend.layer(W, values[1], optimizer)
    again = Rbm((K,), gibbs=2).network([layer], backend, optimizer, 3, LinearSquaredError())
    again.restore({name: array.copy() for name, array in network.saved()})
    for one in (network, again):
        one.train_step(V0, V0, 0.1, 2)
    for kept, restored in zip(network.values(), again.values(), strict=True):
        assert np.array_equal(kept, restored)


def test_it_learns_a_pattern(machine):
    network, _ = machine
    V = np.repeat(np.array([[1, 1, 1, 0, 0, 0, 1]], dtype=np.float32).T, N, axis=1)
    first = network.loss(network.outputs(V), V)
    for t in range(1, 200):
        network.train_step(V, V, 0.1, t)
    assert network.loss(network.outputs(V), V) < 0.1 * first


def test_it_gives_back_its_inputs():
    assert Rbm((K,)).shapes(D, D) == [(K, D)]
    with pytest.raises(SuiteError, match='set objective = "reconstruction"'):
        Rbm((K,)).shapes(D, 3)
    with pytest.raises(ValueError, match="one number in a list"):
        Rbm((K, K))
