"""Backends on other libraries. What is not installed here skips and says why."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from small import small_work
from sparsebench_rivals.params import RivalParams
from sparsebench_rivals.transpose import Transposed

from sparsebench import testing
from sparsebench.core.sparse.csr import CsrPattern
from sparsebench.core.training.loop import train
from sparsebench.errors import Unsupported
from sparsebench.testing.fixtures import PlainDescent, random_matrix, to_dense

RIVALS = ("torch-csr", "torch-dense-mask", "mkl-csr", "sparselab", "sparseprop", "cuda-csr")
RULES = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9},
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.01, "decay": "decoupled"},
    {"name": "sgd", "weight_decay": 0.01, "decay": "decoupled-unscaled"},
    {"name": "adam", "weight_decay": 0.01},
    {"name": "adam", "weight_decay": 0.01, "decay": "decoupled"},
]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs the extra torch")


def rival(build, name):
    """The backend, or a skip with what it says it lacks; a layer is what notices a missing GPU."""
    try:
        backend = build("backend", name)
        backend.layer(
            random_matrix((3, 2), 4, np.random.default_rng(0)),
            np.zeros(3, np.float32),
            PlainDescent(),
        )
    except Unsupported as reason:
        pytest.skip(str(reason))
    return backend


def losses_of(build, backend, optimizer, activation):
    losses = []
    result = train(
        small_work(
            build,
            backend=backend,
            model={"name": "mlp", "hidden": [40, 30], "activation": activation, "dropout": 0.2},
            topology={"name": "set", "epsilon": 6, "update_every": 10},
            optimizer=optimizer,
            epochs=5,
            progress=lambda epoch, step, loss: losses.append(loss),
        )
    )
    return losses, result


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize(
    ("optimizer", "activation"),
    [
        (
            {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.001},
            "all-relu",
        ),
        ({"name": "adam", "learning_rate": 0.003}, "tanh"),
    ],
    ids=["sgd", "adam"],
)
def test_a_rival_walks_the_common_trajectory(build, name, optimizer, activation):
    """50 steps, an update of the topology forced every 10, dropout and all."""
    rival(build, name)
    ours, _ = losses_of(build, "numba-csr", optimizer, activation)
    theirs, result = losses_of(build, name, optimizer, activation)
    assert len(theirs) >= 50
    assert sum(result.epochs[0].dropped) > 0
    testing.check_trajectory({"numba-csr": ours, name: theirs})


@pytest.mark.parametrize("name", RIVALS)
def test_a_gradient_forgets_a_nan_of_the_step_before(build, name):
    layer = rival(build, name).layer(
        random_matrix((4, 3), 7, np.random.default_rng(0)), np.zeros(4, np.float32), PlainDescent()
    )
    X, DZ = np.ones((3, 8), np.float32), np.ones((4, 8), np.float32)
    layer.backward(X, np.full_like(DZ, np.nan), np.empty_like(X))
    assert np.isnan(layer.gradients()[0]).all()
    layer.backward(X, DZ, np.empty_like(X))
    assert np.array_equal(layer.gradients()[0], np.full(7, 8, np.float32))


@pytest.mark.parametrize("name", RIVALS)
def test_a_backend_that_is_missing_says_so_in_one_line(build, plugins, name, monkeypatch):
    monkeypatch.setattr("sparsebench.registry.is_installed", lambda module: False)
    missing = ", ".join(plugins["backend"][name].requires)
    with pytest.raises(Unsupported, match=f"'{name}' is not available: needs {missing}, not") as no:
        build("backend", name)
    assert "\n" not in str(no.value)


@dataclass(frozen=True)
class CopyingTorch(RivalParams):
    """The GPU backend's layer on torch's CPU device, with every copy that a GPU would need."""

    truly_sparse = True

    def layer(self, W, bias, optimizer):
        from sparsebench_rivals.torch_csr import Device, TorchCsrLayer

        return TorchCsrLayer(W, bias, optimizer, Device("cpu", shares=False))


def test_the_layer_of_the_gpu_passes_the_kit_on_the_cpu(torch, build):
    testing.check_backend(CopyingTorch(), [build("optimizer", rule) for rule in RULES])


def test_a_layer_with_copies_leaves_the_arrays_it_was_given(torch):
    rng = np.random.default_rng(0)
    W, bias = random_matrix((5, 4), 9, rng), np.zeros(5, np.float32)
    before = W.data.copy()
    layer = CopyingTorch().layer(W, bias, PlainDescent())
    X, DZ = np.ones((4, 3), np.float32), np.ones((5, 3), np.float32)
    layer.backward_and_step(X, DZ, None, 0.1, 1)
    assert np.array_equal(W.data, before)
    assert not np.array_equal(layer.weights().data, before)
    assert not bias.any()


def test_without_a_gpu_the_gpu_backend_says_so(torch, build):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(Unsupported, match=r"needs an NVIDIA GPU, and torch .* sees none"):
        build("backend", "cuda-csr").layer(
            random_matrix((3, 2), 4, np.random.default_rng(0)),
            np.zeros(3, np.float32),
            PlainDescent(),
        )


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_torch_rules_are_the_rules_of_numpy(torch, build, rule, kind):
    from sparsebench_rivals import torch_optimizers

    optimizer = build("optimizer", rule)
    rng = np.random.default_rng(0)
    w = rng.standard_normal(50).astype(np.float32)
    state = [np.zeros_like(w) for _ in optimizer.slots]
    w_t, state_t = torch.from_numpy(w.copy()), [torch.zeros(50) for _ in optimizer.slots]
    for t in range(1, 6):
        g = rng.standard_normal(50).astype(np.float32)
        optimizer.update(w, g, state, 0.05, t, kind)
        torch_optimizers.update(optimizer, w_t, torch.from_numpy(g), state_t, 0.05, t, kind)
        np.testing.assert_allclose(w_t.numpy(), w, rtol=1e-5, atol=1e-6)
        for slot_t, slot in zip(state_t, state, strict=True):
            np.testing.assert_allclose(slot_t.numpy(), slot, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("shape", "nnz"), [((1, 1), 1), ((5, 7), 0), ((5, 7), 35), ((64, 33), 99)])
def test_transposed_is_the_transposed_matrix(shape, nnz):
    W = random_matrix(shape, nnz, np.random.default_rng(0))
    across = Transposed.of(W.pattern)
    back = CsrPattern((shape[1], shape[0]), across.indptr, across.rows)
    back.validate()
    dense = np.zeros((shape[1], shape[0]), np.float32)
    dense[back.rows, back.indices] = W.data[across.place]
    assert np.array_equal(dense, to_dense(W).T)


@pytest.mark.parametrize("N", [1, 9, 128])
def test_the_loop_for_the_pattern_is_dense_arithmetic(N):
    from sparsebench_rivals.pattern_gradient import pattern_gradient

    rng = np.random.default_rng(0)
    W = random_matrix((20, 30), 100, rng)
    X = rng.standard_normal((30, N)).astype(np.float32)
    DZ = rng.standard_normal((20, N)).astype(np.float32)
    DW = np.full(100, np.nan, np.float32)
    pattern_gradient(W.indptr, W.indices, X, DZ, DW)
    np.testing.assert_allclose(DW, (DZ @ X.T)[W.rows, W.indices], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sparselab", "sparseprop"])
def test_more_connections_than_32_bits_count_are_refused(build, name):
    backend = rival(build, name)
    W = random_matrix((3, 2), 4, np.random.default_rng(0))
    wide = CsrPattern(W.shape, W.indptr.astype(np.int64), W.indices.astype(np.int64))
    with pytest.raises(Unsupported, match=name):
        backend.layer(type(W)(wide, W.data), np.zeros(3, np.float32), PlainDescent())


def test_mkl_without_its_library_says_so(monkeypatch):
    from sparsebench_rivals import mkl_csr

    monkeypatch.setattr(mkl_csr, "runtime_library", lambda: None)
    monkeypatch.setitem(sys.modules, "sparse_dot_mkl", None)
    with pytest.raises(Unsupported, match="'mkl-csr' finds no libmkl_rt"):
        mkl_csr.load_mkl()
