"""The torch layer: gradients by finite differences, equality with torch's own dense layer, and
topology methods in a torch loop."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

from sparsebench.core.sparse.csr import Change  # noqa: E402
from sparsebench.errors import Unsupported  # noqa: E402
from sparsebench.torch import SparseLinear, TopologyScheduler, sparsify  # noqa: E402

nn, F = torch.nn, torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


def dense(layer):
    return layer.to_sparse().to_dense()


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_by_finite_differences(bias):
    layer = SparseLinear(6, 5, density=0.4, bias=bias, seed=1).double()
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *p: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("backend", ["scipy-csr", "numba-csr"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (40,)])
def test_it_is_torchs_linear_on_its_connections(backend, shape):
    layer = SparseLinear(12, 9, density=0.3, backend=backend)
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
    W = dense(layer).requires_grad_()
    x = torch.randn(*shape, 12, requires_grad=True)
    x_dense = x.detach().clone().requires_grad_()
    y, y_dense = layer(x), F.linear(x_dense, W, layer.bias.detach())
    torch.testing.assert_close(y, y_dense)
    target = torch.randn_like(y)
    ((y - target) ** 2).mean().backward()
    ((y_dense - target) ** 2).mean().backward()
    rows = np.repeat(np.arange(9), layer.pattern.in_degrees())
    torch.testing.assert_close(layer.weight.grad, W.grad[rows, layer.pattern.indices])
    torch.testing.assert_close(x.grad, x_dense.grad)


@pytest.mark.parametrize("backend", ["scipy-csr", "numba-csr"])
def test_a_second_pass_sees_weights_that_moved(backend):
    layer = SparseLinear(12, 9, density=0.3, backend=backend)
    x = torch.randn(40, 12)
    layer(x).sum().backward()
    with torch.no_grad():
        layer.weight.mul_(2)
    torch.testing.assert_close(layer(x), x @ dense(layer).T)
    layer.weight.data *= 2  # of which the version of the tensor says nothing
    torch.testing.assert_close(layer(x), x @ dense(layer).T)


def test_twice_in_one_graph():
    layer = SparseLinear(7, 7, density=0.5, backend="scipy-csr")
    W = dense(layer).requires_grad_()
    x = torch.randn(5, 7)
    layer(layer(x)).sum().backward()
    (x @ W.T @ W.T).sum().backward()
    rows = np.repeat(np.arange(7), layer.pattern.in_degrees())
    torch.testing.assert_close(layer.weight.grad, W.grad[rows, layer.pattern.indices])


def test_weights_that_change_before_backward_are_refused():
    layer = SparseLinear(7, 7, density=0.5, backend="scipy-csr")
    y = layer(torch.randn(2, 7)).sum()
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    y = layer(torch.randn(2, 7)).sum()
    layer.apply_change(Change.drop(np.arange(layer.weight.numel()) > 2))
    with pytest.raises(RuntimeError, match="after the optimizer's"):
        y.backward()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"density": 0.1, "connections": 3}, ValueError, "one of them"),
        ({}, ValueError, "one of them"),
        ({"connections": 200}, ValueError, "from 1 to 108 are possible"),
        ({"density": 0.1, "backend": "numba-cs"}, Exception, "Did you mean 'numba-csr'"),
    ],
)
def test_a_mistake_is_one_line(given, error, words):
    with pytest.raises(error, match=words):
        SparseLinear(12, 9, **given)


def test_inputs_that_do_not_fit_are_one_line():
    layer = SparseLinear(12, 9, density=0.3, backend="scipy-csr")
    with pytest.raises(ValueError, match=r"expects \(\.\.\., 12\)"):
        layer(torch.randn(2, 11))
    with pytest.raises(TypeError, match="float32"):
        layer(torch.randn(2, 12, dtype=torch.float16))
    with pytest.raises(ValueError, match="no nn"):
        sparsify(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="see sparsify"):
        TopologyScheduler(nn.Linear(2, 2), None, steps_per_epoch=1, epochs=1)


def test_the_state_has_the_topology():
    one = SparseLinear(12, 9, density=0.3, seed=1, backend="scipy-csr")
    other = SparseLinear(12, 9, density=0.6, seed=2, backend="scipy-csr")
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    for module in (other, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        x = torch.randn(3, 12)
        torch.testing.assert_close(module(x), one(x))


def test_a_damaged_state_is_refused():
    layer = SparseLinear(12, 9, density=0.3, backend="scipy-csr")
    state = layer.state_dict()
    state["indices"] = state["indices"] + 100
    with pytest.raises(ValueError, match="outside"):
        SparseLinear(12, 9, density=0.3, backend="scipy-csr").load_state_dict(state)


def problem(topology, optimizer, epochs=3, **given):
    """Losses of a small training, the model and its scheduler."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 3)
    )
    sparsify(model, topology, backend="scipy-csr")
    moves = optimizer(model.parameters())
    scheduler = TopologyScheduler(model, moves, topology, steps_per_epoch=8, epochs=epochs, **given)
    X = torch.randn(128, 20)
    y = (X[:, :3] + X[:, 3:6]).argmax(1)
    losses = []
    for _ in range(epochs):
        for batch in torch.arange(128).split(16):
            moves.zero_grad()
            loss = F.cross_entropy(model(X[batch]), y[batch])
            loss.backward()
            moves.step()
            scheduler.step()
            losses.append(loss.item())
    return losses, model, scheduler


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
}
METHODS = [
    "set", {"name": "rigl", "update_every": 5}, "snfs", "chts", "ctre-sim",
    {"name": "set", "grow": "gse"}, {"name": "granet", "update_every": 5},
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_any_method_in_a_torch_loop(method, optimizer):
    words = method if isinstance(method, dict) else {"name": method}
    losses, model, scheduler = problem({**words, "density": 0.3}, OPTIMIZERS[optimizer], epochs=6)
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
    assert scheduler.dropped > 0
    for layer in scheduler.layers:
        layer.matrix().validate()
    assert model(torch.randn(2, 20)).isfinite().all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_of_the_optimizer_follows_its_connections(optimizer):
    layer = SparseLinear(6, 4, density=0.5, backend="scipy-csr")
    moves = OPTIMIZERS[optimizer](layer.parameters())
    for _ in range(2):
        moves.zero_grad()
        layer(torch.randn(5, 6)).pow(2).sum().backward()
        moves.step()
    name = "momentum_buffer" if optimizer == "sgd" else "exp_avg"
    before = moves.state[layer.weight][name].clone()
    keep = np.arange(layer.weight.numel()) % 3 > 0
    free = np.setdiff1d(np.arange(24), layer.pattern.keys()[keep])[:2]
    old = dict(zip(layer.pattern.keys()[keep].tolist(), before[keep].tolist(), strict=True))
    values = np.array([0.5, -0.5], dtype=np.float32)
    layer.apply_change(Change(keep, free // 6, free % 6, values), moves)
    after = moves.state[layer.weight][name].tolist()
    expected = {**old, **dict.fromkeys(free.tolist(), 0.0)}
    assert dict(zip(layer.pattern.keys().tolist(), after, strict=True)) == expected
    layer(torch.randn(5, 6)).sum().backward()
    moves.step()


def test_the_same_seed_is_the_same_training_and_a_state_goes_on():
    first = problem({"name": "set", "density": 0.3}, OPTIMIZERS["adam"])
    again = problem({"name": "set", "density": 0.3}, OPTIMIZERS["adam"])
    assert first[0] == again[0]
    state = first[2].state_dict()
    again[2].load_state_dict(state)
    assert again[2].state_dict()["step"] == 24


def test_what_a_method_looks_at_must_be_there():
    with pytest.raises(Unsupported, match="momentum"):
        problem({"name": "snfs", "density": 0.3}, lambda p: torch.optim.SGD(p, lr=0.1))
    with pytest.raises(ValueError, match="validate"):
        problem({"name": "pals", "density": 0.3}, OPTIMIZERS["adam"])
    seen = []
    validate = lambda: seen.append(1) or (1.0, 0.0)  # noqa: E731
    problem({"name": "pals", "density": 0.3}, OPTIMIZERS["adam"], validate=validate)
    assert seen
