"""Checks of backends: the same arithmetic as a dense matrix, in memory of order nnz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsebench.analysis.audit_verdict import judge
from sparsebench.core.audit.probe import probe
from sparsebench.core.audit.probe_sizes import Sizes
from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.protocols import Backend, Layer, Optimizer, TakesCsr
from sparsebench.core.sparse.csr import Change, CsrMatrix
from sparsebench.testing.fixtures import (
    PlainDescent,
    check_close,
    check_parameters,
    peak_bytes,
    random_matrix,
    to_dense,
)

SHAPES = ((1, 1, 1, 1), (5, 7, 0, 3), (5, 7, 35, 4), (64, 33, 211, 9), (20, 50, 130, 128))
"""(K, D, nnz, N) of layers with one connection, with none, with all, and with batches of fewer and
of more samples than a SIMD vector holds."""

HONEST = Sizes(side=2048, batch=32)
"""The layer that `check_honesty` probes: as a dense float32 matrix it has 16 MiB."""


def check_backend(backend: Backend, optimizers: Sequence[Optimizer] = ()) -> None:
    """Check that layers compute the same as a dense matrix: products, steps, assigned values,
    topology changes, saving and restoring, also on csr inputs if its layers accept them. A backend
    that declares itself truly sparse must also take memory and time of order nnz.

    optimizers  tested in addition to plain gradient descent, because fused updates differ per rule
    """
    check_parameters(backend)
    for K, D, nnz, N in SHAPES:
        check_products(backend, (K, D), nnz, N)
        for optimizer in (PlainDescent(), *optimizers):
            for check in (
                check_step, check_assignment, check_apply_change, check_saving, check_csr_inputs,
            ):  # fmt: skip
                check(backend, optimizer, (K, D), nnz, N)
    check_columns_without_connections(backend)
    if backend.truly_sparse:
        check_memory(backend)
        check_honesty(backend, *optimizers[:1])


class _Case:
    """The weights and the bias of a test layer, a random generator, and the backend and the
    optimizer to check."""

    def __init__(
        self, backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
    ) -> None:
        self.backend, self.optimizer, self.shape, self.N = backend, optimizer, shape, N
        self.rng = np.random.default_rng(nnz + N)
        self.W = random_matrix(shape, nnz, self.rng)
        self.bias = np.linspace(-1, 1, shape[0], dtype=np.float32)

    def layer(self) -> Layer:
        return self.layer_of(self.W, self.bias)

    def layer_of(self, W: CsrMatrix, bias: Any) -> Layer:
        mine = CsrMatrix(W.pattern, np.array(W.data, copy=True))
        return self.backend.layer(mine, np.array(bias, copy=True), self.optimizer)

    def batch(self) -> tuple[Any, Any]:
        """Random X (D, N) and DZ (K, N)."""
        K, D = self.shape
        X = self.rng.standard_normal((D, self.N)).astype(np.float32)
        return X, self.rng.standard_normal((K, self.N)).astype(np.float32)


def _forward(layer: Layer, X: Any) -> Any:
    Z = np.full((layer.shape[0], X.shape[1]), np.nan, np.float32)
    layer.forward(X, Z)
    return Z


def _backward(layer: Layer, X: Any, DZ: Any) -> Any:
    DX = np.full(X.shape, np.nan, np.float32)
    layer.backward(X, DZ, DX)
    return DX


def check_products(backend: Backend, shape: tuple[int, int], nnz: int, N: int) -> None:
    """Check that forward and both gradients agree with those of a dense float64 matrix."""
    case = _Case(backend, PlainDescent(), shape, nnz, N)
    W, layer, (X, DZ) = case.W, case.layer(), case.batch()
    dense, DZ64 = to_dense(W).astype(np.float64), DZ.astype(np.float64)
    check_close(_forward(layer, X), dense @ X + case.bias[:, None], "Z = W X + b")
    check_close(_backward(layer, X, DZ), dense.T @ DZ64, "DX = W^T DZ")
    DW, Db = layer.gradients()
    check_close(DW, (DZ64 @ X.T)[W.rows, W.indices], "DW = DZ X^T on the pattern")
    check_close(Db, DZ64.sum(axis=1), "Db = DZ 1")
    layer.backward(X, DZ, None)
    check_close(layer.gradients()[0], DW, "DW does not depend on whether DX is wanted")


def check_step(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """Check that all methods that make a step apply the optimizer's rule to the connections: `step`
    after `backward`, `backward_and_step`, and `step_by` with the gradients of another layer,
    whether or not the layer has had a batch before. `step_by` must not write into the
    gradients."""
    case = _Case(backend, optimizer, shape, nnz, N)
    apart, fused, other, fresh = (case.layer() for _ in range(4))
    w, b = case.W.data.copy(), case.bias.copy()
    w_state = [np.zeros_like(w) for _ in optimizer.slots]
    b_state = [np.zeros_like(b) for _ in optimizer.slots]
    for t in (1, 2, 3):
        X, DZ = case.batch()
        DX, fused_DX = _backward(apart, X, DZ), np.empty_like(X)
        DW, Db = (np.array(g, copy=True) for g in apart.gradients())
        apart.step(0.1, t)
        fused.backward_and_step(X, DZ, fused_DX, 0.1, t)
        if t == 2:
            other.backward(X, 2 * DZ, None)
        for layer in (other, fresh):
            copies = (DW.copy(), Db.copy())
            layer.step_by(*copies, 0.1, t)
            for before, after in zip((DW, Db), copies, strict=True):
                assert np.array_equal(before, after), "step_by writes into the gradients"
        optimizer.update(w, DW, w_state, 0.1, t, "weight")
        optimizer.update(b, Db, b_state, 0.1, t, "bias")
        for how, layer in (
            ("step", apart),
            ("backward_and_step", fused),
            ("step_by", other),
            ("step_by, no batch seen,", fresh),
        ):
            check_close(layer.weights().data, w, f"weights after {how} {t}")
            check_close(layer.bias(), b, f"bias after {how} {t}")
            for name, slot in zip(optimizer.slots, w_state, strict=True):
                check_close(layer.state()[name], slot, f"{name} after {how} {t}")
        check_close(fused_DX, DX, "DX of backward_and_step uses the weights before the update")


def check_assignment(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """Check that after `assign` a layer has the assigned values, keeps its optimizer state, and
    shares no memory with the arrays passed, both before its first batch and later."""
    case = _Case(backend, optimizer, shape, nnz, N)
    layer, (X, DZ) = case.layer(), case.batch()
    for t in (1, 2):
        data = case.rng.standard_normal(nnz).astype(np.float32)
        bias = case.rng.standard_normal(shape[0]).astype(np.float32)
        state = {name: np.array(slot, copy=True) for name, slot in layer.state().items()}
        passed, passed_bias = data.copy(), bias.copy()
        layer.assign(passed, passed_bias)
        passed[...], passed_bias[...] = np.nan, np.nan
        W = layer.weights()
        assert np.array_equal(W.data, data), f"weights after assign {t}"
        assert np.array_equal(layer.bias(), bias), f"bias after assign {t}"
        for name, slot in state.items():
            assert np.array_equal(layer.state()[name], slot), f"assign changed {name}"
        dense, DX = to_dense(W).astype(np.float64), np.empty_like(X)
        check_close(_forward(layer, X), dense @ X + bias[:, None], f"Z after assign {t}")
        layer.backward_and_step(X, DZ, DX, 0.1, t)
        check_close(DX, dense.T @ DZ, f"DX after assign {t}")


def check_apply_change(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """Check that values and state move with their connections, and that grown ones have state 0."""
    if nnz < 2:
        return
    case = _Case(backend, optimizer, shape, nnz, N)
    layer, rng, (X, DZ) = case.layer(), case.rng, case.batch()
    layer.backward_and_step(X, DZ, None, 0.1, 1)
    before = layer.weights()
    data = np.array(before.data, copy=True)
    states = {name: np.array(slot, copy=True) for name, slot in layer.state().items()}
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
    keys = np.sort(np.concatenate([kept, grown]))
    assert np.array_equal(after.pattern.keys(), keys), "connections after a topology change"
    fresh = np.isin(keys, grown)

    def carried(old: Any, new: float) -> Any:
        expected = np.full(keys.size, new, np.float32)
        expected[~fresh] = old[keep]
        return expected

    wrong = keys[after.data != carried(data, 7.0)]
    assert not wrong.size, f"values of connections {wrong[:5]} after a topology change"
    for name, slot in layer.state().items():
        assert np.array_equal(slot, carried(states[name], 0.0)), (
            f"{name} does not follow its connections through a topology change"
        )
    dense, bias = to_dense(after), layer.bias()[:, None]
    check_close(_forward(layer, X), dense @ X + bias, "Z after a topology change")
    check_close(_backward(layer, X, DZ), dense.T @ DZ, "DX after a topology change")


def check_saving(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """Check that a new layer with the same weights and bias, restored from the arrays of `saved`,
    continues bit for bit, and that these arrays are O(nnz)."""
    case = _Case(backend, optimizer, shape, nnz, N)
    layer, (X, DZ) = case.layer(), case.batch()
    for t in (1, 2):
        layer.backward_and_step(X, DZ, None, 0.1, t)
    saved = {name: np.array(array, copy=True) for name, array in layer.saved()}
    size = sum(array.nbytes for array in saved.values())
    slots = len(optimizer.slots)
    assert size <= 8 * slots * (nnz + shape[0]) + 1000, f"{size} bytes saved of {nnz} connections"
    again = case.layer_of(layer.weights(), layer.bias())
    again.restore(saved)
    for one in (layer, again):
        one.backward_and_step(X, DZ, None, 0.1, 3)
    for name, before, after in (
        ("weights", layer.weights().data, again.weights().data),
        ("bias", layer.bias(), again.bias()),
        *((slot, layer.state()[slot], again.state()[slot]) for slot in optimizer.slots),
        ("Z", _forward(layer, X), _forward(again, X)),
    ):
        assert np.array_equal(before, after), f"{name} of a restored layer"


def check_csr_inputs(
    backend: Backend, optimizer: Optimizer, shape: tuple[int, int], nnz: int, N: int
) -> None:
    """Check that a layer that accepts csr inputs computes the same from them as from the equal
    dense arrays, with `backward` and `step` and with `backward_and_step`. Other layers pass."""
    case = _Case(backend, optimizer, shape, nnz, N)
    csr, arrays = case.layer(), case.layer()
    if not (isinstance(csr, TakesCsr) and csr.takes_csr):
        return
    for t in (1, 2, 3, 4):
        X, DZ = case.batch()
        X *= case.rng.random(X.shape) < 0.4
        batch, Z = CsrBatch.of(X), np.full(DZ.shape, np.nan, np.float32)
        csr.forward(batch, Z)  # type: ignore[arg-type]
        check_close(Z, _forward(arrays, X), f"Z of csr inputs {t}")
        for layer, given in ((csr, batch), (arrays, X)):
            if t % 2:
                layer.backward_and_step(given, DZ, None, 0.1, t)  # type: ignore[arg-type]
            else:
                layer.backward(given, DZ, None)  # type: ignore[arg-type]
                layer.step(0.1, t)
        if t % 2 == 0:
            check_close(csr.gradients()[0], arrays.gradients()[0], f"DW of csr inputs {t}")
    check_close(csr.weights().data, arrays.weights().data, "weights after csr inputs")
    check_close(csr.bias(), arrays.bias(), "bias after csr inputs")
    for name, slot in arrays.state().items():
        check_close(csr.state()[name], slot, f"{name} after csr inputs")


def check_columns_without_connections(backend: Backend) -> None:
    """Check that in a layer whose connections were all dropped, Z is the bias and DX is 0, instead
    of old contents of a buffer."""
    case = _Case(backend, PlainDescent(), (6, 5), 12, 4)
    layer, (X, DZ) = case.layer(), case.batch()
    layer.apply_change(Change.drop(np.zeros(12, dtype=bool)))
    bias = np.repeat(case.bias[:, None], 4, axis=1)
    assert np.array_equal(_forward(layer, X), bias), "Z of an empty layer"
    assert not _backward(layer, X, DZ).any(), "DX of an empty layer"


def check_memory(backend: Backend) -> None:
    """Check that building a layer, a forward pass, a step and a topology change take less than 250
    bytes for each connection and each neuron; one dense float32 matrix would take over 50,000. Also
    checks that the layer declares less than 100 stored bytes for each."""
    layers: list[Layer] = []

    def exercise(side: int, nnz: int) -> None:
        case = _Case(backend, PlainDescent(), (side, side), nnz, 2)
        layer, (X, DZ) = case.layer(), case.batch()
        _forward(layer, X)
        layer.backward_and_step(X, DZ, np.empty_like(X), 0.1, 1)
        layer.apply_change(Change.drop(np.arange(nnz) >= nnz // 4))
        layers.append(layer)

    exercise(8, 16)  # compiles
    side = nnz = 40_000
    peak = peak_bytes(lambda: exercise(side, nnz))
    assert peak < 250 * (nnz + 2 * side), f"{peak} bytes for {nnz} connections: not truly sparse"
    stored = sum(layers[-1].stored_bytes().values())
    assert stored < 100 * (nnz + 2 * side), f"declares {stored} stored bytes"


def check_honesty(backend: Backend, optimizer: Optimizer | None = None) -> None:
    """Run the audit of `sparsebench run --audit` in this process: for a backend that declares
    itself truly sparse, neither time nor memory may grow with K D. Takes a few seconds, and half a
    gibibyte of memory if the backend is dense."""
    evidence = probe(backend, optimizer or PlainDescent(), HONEST)
    for _ in range(2):  # times that another process disturbed are measured again, as a run does
        if backend.truly_sparse and judge(evidence).flags:
            evidence = evidence.smaller_of_each(probe(backend, optimizer or PlainDescent(), HONEST))
    found = judge(evidence)
    if backend.truly_sparse:
        assert not found.flags, f"says it is truly sparse; {', '.join(found.flags)}: {found.why}"


def check_trajectory(
    losses: dict[str, Sequence[float]], *, relative: float = 1e-4, steps: int = 50
) -> None:
    """Check that the losses of backends with the same seed agree at every step.

    losses    the loss at each step, by the name of the backend; all are compared with the first
    relative  the largest relative difference that is accepted
    steps     how many of the first steps are compared
    """
    names = list(losses)
    for name in names[1:]:
        ours, theirs = np.array(losses[names[0]][:steps]), np.array(losses[name][:steps])
        apart = np.abs(ours - theirs) / np.abs(ours)
        worst = int(apart.argmax())
        assert apart[worst] <= relative, (
            f"{names[0]} and {name} differ by {apart[worst]:.1e} at step {worst + 1}"
        )
