"""What a backend must do: the same arithmetic as a dense matrix, in memory of order nnz."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.analysis.honesty import judge
from sparsebench.core.audit.probe import probe
from sparsebench.core.audit.sizes import Sizes
from sparsebench.core.protocols import Backend, Layer, Optimizer
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.testing.fixtures import (
    PlainDescent,
    check_parameters,
    random_matrix,
    to_dense,
)

SHAPES = ((1, 1, 1, 1), (5, 7, 0, 3), (5, 7, 35, 4), (64, 33, 211, 9), (20, 50, 130, 128))
"""K, D, nnz, N: one connection, none, a full layer, and batches on both sides of a vector."""

HONEST = Sizes(side=4096, batch=32)
"""What `check_honesty` probes: a dense float32 matrix of its square layer takes 64 MiB."""


def check_backend(backend: Backend, optimizers: Sequence[Optimizer] = ()) -> None:
    """Everything below; `optimizers` are tried beside a plain one (fused updates are per rule)."""
    check_parameters(backend)
    for K, D, nnz, N in SHAPES:
        check_products(backend, (K, D), nnz, N)
        for optimizer in (PlainDescent(), *optimizers):
            check_step(backend, optimizer, (K, D), nnz, N)
            check_given_gradients(backend, optimizer, (K, D), nnz, N)
            check_assignment(backend, optimizer, (K, D), nnz, N)
            check_apply_change(backend, optimizer, (K, D), nnz)
            check_saving(backend, optimizer, (K, D), nnz, N)
    check_columns_without_connections(backend)
    if backend.truly_sparse:
        check_memory(backend)
        check_honesty(backend, *optimizers[:1])


def check_products(backend: Backend, shape: tuple[int, int], nnz: int, N: int) -> None:
    """Forward and both gradients against dense float64."""
    rng = np.random.default_rng(nnz + N)
    W = random_matrix(shape, nnz, rng)
    layer, bias = _layer(backend, W, PlainDescent())
    X, DZ = _batch(shape, N, rng)
    Z, DX = np.full((shape[0], N), np.nan, np.float32), np.full(X.shape, np.nan, np.float32)
    layer.forward(X, Z)
    dense = to_dense(W).astype(np.float64)
    _close(Z, dense @ X + bias[:, None], "Z = W X + b")
    layer.backward(X, DZ, DX)
    DW, Db = layer.gradients()
    _close(DX, dense.T @ DZ.astype(np.float64), "DX = W^T DZ")
    _close(DW, (DZ.astype(np.float64) @ X.T)[W.rows, W.indices], "DW = DZ X^T on the pattern")
    _close(Db, DZ.astype(np.float64).sum(axis=1), "Db = DZ 1")
    layer.backward(X, DZ, None)
    _close(layer.gradients()[0], DW, "DW does not depend on whether DX is wanted")


def check_step(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """`step` is the optimizer's rule on the connections, and so is `backward_and_step`."""
    rng = np.random.default_rng(nnz + N)
    W = random_matrix(shape, nnz, rng)
    apart, _ = _layer(backend, W, optimizer)
    fused, _ = _layer(backend, W, optimizer)
    w, b = W.data.copy(), np.array(apart.bias(), copy=True)
    w_state = [np.zeros_like(w) for _ in optimizer.slots]
    b_state = [np.zeros_like(b) for _ in optimizer.slots]
    for t in (1, 2, 3):
        X, DZ = _batch(shape, N, rng)
        DX, fused_DX = np.empty_like(X), np.empty_like(X)
        apart.backward(X, DZ, DX)
        DW, Db = (np.array(g, copy=True) for g in apart.gradients())
        optimizer.update(w, DW, w_state, 0.1, t, "weight")
        optimizer.update(b, Db, b_state, 0.1, t, "bias")
        apart.step(0.1, t)
        fused.backward_and_step(X, DZ, fused_DX, 0.1, t)
        for layer, how in ((apart, "step"), (fused, "backward_and_step")):
            _close(layer.weights().data, w, f"weights after {how} {t}")
            _close(layer.bias(), b, f"bias after {how} {t}")
            for name, slot in zip(optimizer.slots, w_state, strict=True):
                _close(layer.state()[name], slot, f"{name} after {how} {t}")
        _close(fused_DX, DX, "DX of backward_and_step uses the weights before the update")


def check_given_gradients(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """`step_by` with a layer's own gradients is `step`; with others it is the optimizer's rule,
    whether or not the layer has seen a batch. What it is given stays as it is."""
    rng = np.random.default_rng(nnz + N)
    W = random_matrix(shape, nnz, rng)
    one, other, fresh = (_layer(backend, W, optimizer)[0] for _ in range(3))
    w, b = W.data.copy(), np.array(fresh.bias(), copy=True)
    w_state = [np.zeros_like(w) for _ in optimizer.slots]
    b_state = [np.zeros_like(b) for _ in optimizer.slots]
    for t in (1, 2, 3):
        X, DZ = _batch(shape, N, rng)
        one.backward(X, DZ, None)
        DW, Db = (np.array(g, copy=True) for g in one.gradients())
        one.step(0.1, t)
        if t == 2:
            other.backward(X, 2 * DZ, None)
        for layer in (other, fresh):
            given = (DW.copy(), Db.copy())
            layer.step_by(*given, 0.1, t)
            for before, after in zip((DW, Db), given, strict=True):
                assert np.array_equal(before, after), "step_by writes into what it was given"
        optimizer.update(w, DW, w_state, 0.1, t, "weight")
        optimizer.update(b, Db, b_state, 0.1, t, "bias")
        for layer, how in ((one, "step"), (other, "step_by"), (fresh, "step_by, no batch seen,")):
            _close(layer.weights().data, w, f"weights after {how} {t}")
            _close(layer.bias(), b, f"bias after {how} {t}")
            for name, slot in zip(optimizer.slots, w_state, strict=True):
                _close(layer.state()[name], slot, f"{name} after {how} {t}")


def check_assignment(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """After `assign` a layer has these values, its own optimizer state, and no tie to the arrays,
    before a batch and after one."""
    rng = np.random.default_rng(nnz + N)
    layer, _ = _layer(backend, random_matrix(shape, nnz, rng), optimizer)
    X, DZ = _batch(shape, N, rng)
    for t in (1, 2):
        data = rng.standard_normal(nnz).astype(np.float32)
        bias = rng.standard_normal(shape[0]).astype(np.float32)
        state = {name: np.array(slot, copy=True) for name, slot in layer.state().items()}
        given, given_bias = data.copy(), bias.copy()
        layer.assign(given, given_bias)
        given[...], given_bias[...] = np.nan, np.nan
        W = layer.weights()
        assert np.array_equal(W.data, data), f"weights after assign {t}"
        assert np.array_equal(layer.bias(), bias), f"bias after assign {t}"
        for name, slot in state.items():
            assert np.array_equal(layer.state()[name], slot), f"assign changed {name}"
        Z, DX = np.empty((shape[0], N), np.float32), np.empty_like(X)
        layer.forward(X, Z)
        _close(Z, to_dense(W).astype(np.float64) @ X + bias[:, None], f"Z after assign {t}")
        layer.backward_and_step(X, DZ, DX, 0.1, t)
        expected = np.zeros(shape, np.float64)
        expected[W.rows, W.indices] = data
        _close(DX, expected.T @ DZ, f"DX after assign {t}")


def check_apply_change(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int
) -> None:
    """Values and state follow their connections; grown ones start with state 0."""
    if nnz < 2:
        return
    rng = np.random.default_rng(nnz)
    layer, _ = _layer(backend, random_matrix(shape, nnz, rng), optimizer)
    X, DZ = _batch(shape, 3, rng)
    layer.backward_and_step(X, DZ, None, 0.1, 1)
    before = layer.weights()
    values = dict(zip(before.pattern.keys().tolist(), before.data.tolist(), strict=True))
    states = {
        name: dict(zip(before.pattern.keys().tolist(), slot.tolist(), strict=True))
        for name, slot in layer.state().items()
    }
    keep = rng.random(nnz) < 0.6
    keep[0] = False
    kept = before.pattern.keys()[keep]
    free = np.setdiff1d(np.arange(shape[0] * shape[1]), kept)
    grown = np.sort(rng.choice(free, size=min(free.size, nnz // 2 + 1), replace=False))
    layer.apply_change(
        Change(keep, grown // shape[1], grown % shape[1], np.full(grown.size, 7.0, np.float32))
    )
    after = layer.weights()
    after.validate()
    expected = np.sort(np.concatenate([kept, grown]))
    assert np.array_equal(after.pattern.keys(), expected), "connections after a topology change"
    fresh = set(grown.tolist())
    for at, key in enumerate(expected.tolist()):
        wanted = 7.0 if key in fresh else values[key]
        assert after.data[at] == np.float32(wanted), (
            f"value of connection {key} after a topology change"
        )
    for name, slot in layer.state().items():
        wanted_state = [0.0 if key in fresh else states[name][key] for key in expected.tolist()]
        assert np.array_equal(slot, np.array(wanted_state, np.float32)), (
            f"{name} does not follow its connections through a topology change"
        )
    Z, DX = np.empty((shape[0], 3), np.float32), np.empty_like(X)
    layer.forward(X, Z)
    _close(Z, to_dense(after) @ X + layer.bias()[:, None], "Z after a topology change")
    layer.backward(X, DZ, DX)
    _close(DX, to_dense(after).T @ DZ, "DX after a topology change")


def check_saving(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """A layer made anew from weights and bias, and given what `saved` gave, goes on bit for bit;
    what is saved is O(nnz)."""
    rng = np.random.default_rng(nnz + N)
    layer, _ = _layer(backend, random_matrix(shape, nnz, rng), optimizer)
    X, DZ = _batch(shape, N, rng)
    for t in (1, 2):
        layer.backward_and_step(X, DZ, None, 0.1, t)
    saved = {name: np.array(array, copy=True) for name, array in layer.saved()}
    size = sum(array.nbytes for array in saved.values())
    slots = len(optimizer.slots)
    assert size <= 8 * slots * (nnz + shape[0]) + 1000, f"{size} bytes saved of {nnz} connections"
    W = layer.weights()
    mine = CsrMatrix(W.pattern, np.array(W.data, copy=True))
    again = backend.layer(mine, np.array(layer.bias(), copy=True), optimizer)
    again.restore(saved)
    for one in (layer, again):
        one.backward_and_step(X, DZ, None, 0.1, 3)
    for name, before, after in (
        ("weights", layer.weights().data, again.weights().data),
        ("bias", layer.bias(), again.bias()),
        *((slot, layer.state()[slot], again.state()[slot]) for slot in optimizer.slots),
    ):
        assert np.array_equal(before, after), f"{name} of a restored layer"
    Z, Z_again = np.empty((shape[0], N), np.float32), np.empty((shape[0], N), np.float32)
    layer.forward(X, Z)
    again.forward(X, Z_again)
    assert np.array_equal(Z, Z_again), "Z of a restored layer"


def check_columns_without_connections(backend: Backend) -> None:
    """Rows and columns that lost everything give bias and zero, not what a buffer held."""
    rng = np.random.default_rng(0)
    W = random_matrix((6, 5), 12, rng)
    layer, bias = _layer(backend, W, PlainDescent())
    layer.apply_change(Change.drop(np.zeros(12, dtype=bool)))
    X, DZ = _batch((6, 5), 4, rng)
    Z, DX = np.full((6, 4), np.nan, np.float32), np.full((5, 4), np.nan, np.float32)
    layer.forward(X, Z)
    layer.backward(X, DZ, DX)
    assert np.array_equal(Z, np.repeat(bias[:, None], 4, axis=1)), "Z of an empty layer"
    assert not DX.any(), "DX of an empty layer"


def check_memory(backend: Backend) -> None:
    """Building, a step, a topology change and an evaluation take under 250 bytes per connection and
    neuron, where a dense matrix would take 40,000."""
    K = D = 40_000
    nnz, N = 40_000, 2
    rng = np.random.default_rng(0)
    warm, _ = _layer(backend, random_matrix((8, 8), 16, rng), PlainDescent())
    _exercise(warm, (8, 8), N, rng)
    tracemalloc.start()
    try:
        layer, _ = _layer(backend, random_matrix((K, D), nnz, rng), PlainDescent())
        _exercise(layer, (K, D), N, rng)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 250 * (nnz + K + D), f"{peak} bytes for {nnz} connections: not truly sparse"
    stored = sum(layer.stored_bytes().values())
    assert stored < 100 * (nnz + K + D), f"declares {stored} stored bytes"


def check_honesty(backend: Backend, optimizer: Optimizer | None = None) -> None:
    """The audit of `sparsebench run`, here: nothing of what a backend that says it is truly
    sparse does may grow with K D. Takes a few seconds, and half a gibibyte if it does."""
    evidence = probe(backend, optimizer or PlainDescent(), HONEST)
    for _ in range(2):  # times that another process disturbed are measured again, as a run does
        if backend.truly_sparse and judge(evidence).flags:
            evidence = evidence.calmest(probe(backend, optimizer or PlainDescent(), HONEST))
    found = judge(evidence)
    if backend.truly_sparse:
        assert not found.flags, f"says it is truly sparse; {', '.join(found.flags)}: {found.why}"


def check_trajectory(
    losses: dict[str, Sequence[float]], *, relative: float = 1e-4, steps: int = 50
) -> None:
    """Losses of backends from one seed agree at every step."""
    names = list(losses)
    for name in names[1:]:
        ours, theirs = np.array(losses[names[0]][:steps]), np.array(losses[name][:steps])
        apart = np.abs(ours - theirs) / np.abs(ours)
        worst = int(apart.argmax())
        assert apart[worst] <= relative, (
            f"{names[0]} and {name} differ by {apart[worst]:.1e} at step {worst + 1}"
        )


def _layer(backend: Backend, W: CsrMatrix, optimizer: Optimizer) -> tuple[Layer, Any]:
    bias = np.linspace(-1, 1, W.shape[0], dtype=np.float32)
    mine = CsrMatrix(W.pattern, W.data.copy())
    return backend.layer(mine, bias.copy(), optimizer), bias


def _batch(shape: tuple[int, int], N: int, rng: np.random.Generator) -> tuple[Any, Any]:
    X = rng.standard_normal((shape[1], N)).astype(np.float32)
    return X, rng.standard_normal((shape[0], N)).astype(np.float32)


def _exercise(layer: Layer, shape: tuple[int, int], N: int, rng: np.random.Generator) -> None:
    X, DZ = _batch(shape, N, rng)
    layer.forward(X, np.empty((shape[0], N), np.float32))
    layer.backward_and_step(X, DZ, np.empty_like(X), 0.1, 1)
    keep = np.ones(layer.nnz, dtype=bool)
    keep[: layer.nnz // 4] = False
    layer.apply_change(Change.drop(keep))


def _close(found: Any, expected: Any, what: str) -> None:
    tolerance = 1e-4 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    apart = float(np.abs(np.asarray(found, dtype=np.float64) - expected).max(initial=0.0))
    assert np.shape(found) == np.shape(expected), f"{what}: shape {np.shape(found)}"
    assert apart <= tolerance, f"{what}: off by {apart:.2e}, tolerance {tolerance:.2e}"
