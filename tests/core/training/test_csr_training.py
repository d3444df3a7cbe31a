"""Training on csr inputs: the trajectory of the same data as arrays, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from small import prepare, small_work
from test_methods import METHODS

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.samples import Parts
from sparsebench.core.sparse.gradients import gradient_at, largest_free_gradients, spmm
from sparsebench.core.training.build_network import build_network
from sparsebench.core.training.loop import train
from sparsebench.core.training.warmup import warm_up
from sparsebench.testing import check_trajectory
from sparsebench.testing.fixtures import peak_bytes, random_matrix

BACKENDS = ("numba-csr", "scipy-csr", "dense-mask")


def words(n=330, features=60, classes=4):
    """Counts of words, of which a class has some more than others."""
    rng = np.random.default_rng(7)
    labels = rng.integers(classes, size=n)
    often = rng.random((classes, features)) ** 6
    return rng.poisson(often[labels]).astype(np.uint8), labels


def data_of(csr):
    """From 0 to 1 by feature, which is the same for arrays and csr, as the least count is 0."""
    X, labels = words()
    parts = Parts(sparse.csr_matrix(X) if csr else X, labels)
    return prepare(parts, scaling="range", validation=0.1)


def losses_of(build, csr, **given):
    losses = []
    work = small_work(
        build, data=data_of(csr), epochs=9, progress=lambda *step: losses.append(step[2]), **given
    )
    return losses, train(work)


OPTIMIZERS = {
    "sgd": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.001},
    "plain sgd": {"name": "sgd", "learning_rate": 0.05},
    "nesterov": {
        "name": "sgd", "learning_rate": 0.03, "momentum": 0.9, "nesterov": True,
        "weight_decay": 1e-4, "decay": "decoupled-unscaled", "schedule": "cosine",
    },
    "adam": {"name": "adam", "learning_rate": 0.003, "weight_decay": 0.001},
}  # fmt: skip


@pytest.mark.parametrize(
    ("batch_size", "optimizer"), [*((32, name) for name in OPTIMIZERS), (4, "sgd"), (4, "adam")]
)
def test_csr_trains_as_arrays_do(build, optimizer, batch_size):
    """More than 50 steps, an update of the topology every 10, dropout and all; and the tests."""
    rule = OPTIMIZERS[optimizer]
    given = {
        "optimizer": {**rule, "learning_rate": rule["learning_rate"] * batch_size / 32},
        "batch_size": batch_size,
        "topology": {"name": "set", "epsilon": 6, "update_every": 10},
    }
    losses, ends = {}, {}
    losses["arrays"], ends["arrays"] = losses_of(build, False, backend="numba-csr", **given)
    for backend in BACKENDS:
        losses[backend], ends[backend] = losses_of(build, True, backend=backend, **given)
        assert len(losses[backend]) >= 50
    check_trajectory(losses)
    first = [end.epochs[0].test_loss for end in ends.values()]
    np.testing.assert_allclose(first, first[0], rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_methods_see_the_batch(build, method):
    given = {"topology": METHODS[method], "batch_size": 32}
    losses = {"arrays": losses_of(build, False, **given)[0]}
    for backend in ("numba-csr", "dense-mask"):
        losses[backend], _ = losses_of(build, True, backend=backend, **given)
    check_trajectory(losses)


@pytest.mark.parametrize("activation", ["tanh", "srelu"])
def test_units_that_are_not_the_backends(build, activation):
    model = {"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.2}
    losses = {
        str(csr): losses_of(build, csr, model=model, optimizer=OPTIMIZERS["sgd"])[0]
        for csr in (False, True)
    }
    check_trajectory(losses)


def test_a_warmed_up_network_compiles_nothing_more(build):
    """Of the kernels for csr: the warm-up has met every type of their arguments."""
    from sparsebench_plugins.backends.numba_csr import csr_input

    work = small_work(build, data=data_of(True))
    warm_up(work)
    kernels = [csr_input.by_feature, csr_input.csr_forward, csr_input.csr_backward,
               csr_input.catch_up_present, csr_input.catch_up_all]  # fmt: skip
    before = [len(getattr(kernel, "signatures", ())) for kernel in kernels]
    train(work)
    assert [len(getattr(kernel, "signatures", ())) for kernel in kernels] == before


@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr"])
def test_gradients_agree_with_finite_differences(build, backend):
    """Through csr inputs, by central differences of the loss in each weight of the first layer."""
    model = {"name": "mlp", "hidden": [7], "activation": "tanh"}
    work = small_work(build, data=data_of(True), backend=backend, model=model)
    network = build_network(work)
    X, T = work.data.train.batch(np.arange(20))
    assert isinstance(X, CsrBatch)
    network.compute_gradients(X, T, 1)
    values = [np.array(value) for value in network.values()]
    found = [np.array(gradient) for gradient in network.gradients()]
    step = 1e-2
    for which in (0, 1):  # weights and biases of the first layer
        for i in range(0, values[which].size, 5):
            losses = []
            for sign in (1, -1):
                moved = [value.copy() for value in values]
                moved[which][i] += sign * step
                network.assign(moved)
                losses.append(network.compute_gradients(X, T, 1))
            numerical = (losses[0] - losses[1]) / (2 * step)
            assert abs(numerical - found[which][i]) < 2e-4 + 2e-2 * abs(numerical)


def test_products_and_gradients_that_methods_look_at():
    """Of csr, against those of the same array. Values are small integers, so sums are exact."""
    rng = np.random.default_rng(3)
    K, D, N = 9, 70, 14
    X = (rng.integers(1, 4, (D, N)) * (rng.random((D, N)) < 0.2)).astype(np.float32)
    DZ = rng.integers(-3, 4, (K, N)).astype(np.float32)
    W = random_matrix((K, D), 120, rng)
    batch = CsrBatch.of(X)
    np.testing.assert_allclose(spmm(W, batch), spmm(W, X), atol=1e-5)
    rows, columns = rng.integers(K, size=50), rng.integers(D, size=50)
    np.testing.assert_array_equal(
        gradient_at(rows, columns, batch, DZ), gradient_at(rows, columns, X, DZ)
    )
    keep = rng.random(120) < 0.7
    for a, b in zip(
        largest_free_gradients(batch, DZ, W.pattern, keep, 40),
        largest_free_gradients(X, DZ, W.pattern, keep, 40),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", ["numba-csr", "scipy-csr"])
def test_a_step_takes_memory_of_what_is_stored(build, backend):
    """40,000 features and a batch of 200 with 10 values a sample: dense it would be 32 MB."""
    D, N, each = 40_000, 200, 10
    rng = np.random.default_rng(0)
    model = build("model", {"name": "mlp", "hidden": [16]})
    optimizer = build("optimizer", OPTIMIZERS["sgd"])
    made = build("backend", backend)

    def trained(features: int, nnz: int) -> None:
        W = [random_matrix(s, min(nnz, s[0] * s[1] // 2), rng) for s in model.shapes(features, 2)]
        layers = [made.layer(w, np.zeros(w.shape[0], np.float32), optimizer) for w in W]
        network = model.network(layers, made, optimizer, 0, build("loss", "cross-entropy"))
        for t in (1, 2):
            columns = np.sort(
                rng.permuted(np.tile(np.arange(features // 4), (N, 1)), axis=1)[:, :each], axis=1
            )
            X = CsrBatch(
                np.arange(N + 1, dtype=np.int64) * each, columns.ravel().astype(np.int32),
                np.ones(N * each, np.float32), features,
            )  # fmt: skip
            del columns
            steps.append(
                peak_bytes(lambda: network.train_step(X, np.zeros(N, np.int64), 0.1, t))  # noqa: B023
            )
            network.outputs(X)
            layers[0].weights()

    steps: list[int] = []
    trained(64, 100)
    steps.clear()
    trained(D, D)
    assert max(steps) < 4 * D * N / 4
    assert steps[-1] < 60 * D
