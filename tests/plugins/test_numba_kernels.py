"""Kernels against their twins, and against themselves for other numbers of threads."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparsebench_plugins.backends.numba_csr import arguments, block_order, optimizer_rules, plain
from sparsebench_plugins.backends.numba_csr.arguments import KEEP, NO_UNIT, Layout, UnitNumbers
from sparsebench_plugins.backends.numba_csr.backend import kernel_functions
from sparsebench_plugins.backends.numba_csr.block_order import ByBlock
from sparsebench_plugins.backends.numba_csr.column_order import ByColumn, chunks
from sparsebench_plugins.backends.numba_csr.threads import (
    WORTH_THREADS,
    restore_threads,
    threads_for,
)
from sparsebench_plugins.optimizers import SGD, Adam

from sparsebench.core.nn.dropout import Dropout
from sparsebench.core.sparse import reference
from sparsebench.core.sparse.csr import CsrMatrix, CsrPattern
from sparsebench.testing.fixtures import random_matrix

JIT = not getattr(numba.config, "DISABLE_JIT", False)

# Run as plain Python (NUMBA_DISABLE_JIT=1), the generator's wrapping products warn.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")

NONE = np.empty(0, np.float32)
NO_BITS = np.empty(0, np.uint8)
MODULES = ["plain", "simd"] if JIT else ["plain"]


@pytest.fixture(params=MODULES)
def kernels(request) -> Any:
    return kernel_functions(request.param)


def case(shape, density, N, seed=0):
    rng = np.random.default_rng(seed)
    K, D = shape
    W = random_matrix(shape, round(density * K * D), rng)
    X = rng.standard_normal((D, N)).astype(np.float32)
    DZ = rng.standard_normal((K, N)).astype(np.float32)
    return W, X, DZ


def close(a, b, tolerance=2e-5):
    np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max(initial=0)), rtol=0)


def laid_out(A, where: Layout):
    """A (rows, N) in a layout, flat."""
    rows, N = A.shape
    if where.tile == N:
        return A.reshape(-1).copy()
    return A.reshape(rows, N // where.tile, where.tile).transpose(1, 0, 2).reshape(-1).copy()


def plainly(flat, rows, N, where: Layout):
    """The other way round."""
    if where.tile == N:
        return flat.reshape(rows, N)
    return flat.reshape(N // where.tile, rows, where.tile).transpose(1, 0, 2).reshape(rows, N)


def tiled(rows, tile=32):
    return Layout(tile, tile, rows * tile)


def forward(kernels, W: CsrMatrix, b, X, x, z, unit=NO_UNIT, bits=NO_BITS, ahead=0):
    K, N = W.shape[0], X.shape[1]
    Z = np.full(K * N, np.nan, np.float32)
    kernels.forward(
        chunks(W.indptr), W.indptr, W.indices, W.data, b, laid_out(X, x), x, Z, z,
        N, unit, bits, ahead,
    )  # fmt: skip
    return plainly(Z, K, N, z)


def small_batch_forward(kernels, W: CsrMatrix, b, X, unit=NO_UNIT, bits=NO_BITS, x=None, z=None):
    K, N, order = W.shape[0], X.shape[1], ByBlock(W.pattern)
    x, z = x or arguments.plain(N), z or arguments.plain(N)
    Z = np.full(K * N, np.nan, np.float32)
    kernels.small_batch_forward(
        *order.blocks, order.arranged(W.data), b, laid_out(X, x), x, Z, z, N, unit, bits
    )
    return plainly(Z, K, N, z)


class Backward:
    """One backward pass by column; everything in csr order afterwards."""

    def __init__(
        self, kernels, W, X, DZ, x, z, rule, slots=(), *,
        wanted=True, stored=True, unit=NO_UNIT, bits=NO_BITS, ahead=0,
    ):  # fmt: skip
        order, N = ByColumn(W.pattern), X.shape[1]
        w = order.arranged(W.data)
        first, second = (*(order.arranged(slot) for slot in slots), NONE, NONE)[:2]
        DX = np.full(X.size if wanted else 0, np.nan, np.float32)
        G = np.full(W.nnz if stored else 0, np.nan, np.float32)
        kernels.backward(
            order.chunks, order.indptr, order.rows, w, first, second,
            laid_out(X, x), x, laid_out(DZ, z), z, DX, x, N, G, order.widest, rule, unit, bits,
            ahead,
        )  # fmt: skip
        self.DX = plainly(DX, *X.shape, x) if wanted else None
        self.DW = order.put_back(G) if stored else None
        self.data = order.put_back(w)
        self.slots = [order.put_back(slot) for slot in (first, second)[: len(slots)]]


class SmallBackward:
    """One backward pass by blocks; everything in csr order afterwards."""

    def __init__(
        self, kernels, W, X, DZ, rule, slots=(), *, wanted=True, unit=NO_UNIT, bits=NO_BITS
    ):
        order, N = ByBlock(W.pattern), X.shape[1]
        w = order.arranged(W.data)
        first, second = (*(order.arranged(slot) for slot in slots), NONE, NONE)[:2]
        DX = np.full(X.size if wanted else 0, np.nan, np.float32)
        G = np.full(W.nnz if rule.kind == KEEP else 0, np.nan, np.float32)
        kernels.small_batch_backward(
            *order.blocks, w, first, second, X.reshape(-1), DZ.reshape(-1), DX, N, G, rule,
            unit, bits,
        )  # fmt: skip
        self.DX = DX.reshape(X.shape) if wanted else None
        self.DW = order.put_back(G) if rule.kind == KEEP else None
        self.data = order.put_back(w)
        self.slots = [order.put_back(slot) for slot in (first, second)[: len(slots)]]


def expected(W: CsrMatrix, X, DZ):
    DX = reference.spmm_t(W.indptr, W.indices, W.data, DZ, W.shape[1])
    return DX, reference.sddmm(W.indptr, W.indices, DZ, X)


SHAPES = [(1, 1), (5, 7), (64, 33)] if JIT else [(1, 1), (5, 7)]  # plain Python takes seconds
large = pytest.mark.parametrize(
    ("shape", "density", "N"),
    [
        (shape, density, N)
        for shape in SHAPES
        for density in [0.0, 0.03, 0.5, 1.0]
        for N in ([1, 2, 17, 128, 247] if JIT else [1, 17])
    ],
)
small = pytest.mark.parametrize(
    ("shape", "density", "N"),
    [
        (shape, density, N)
        for shape in ([*SHAPES, (3, 400)] if JIT else SHAPES)
        for density in [0.0, 0.03, 0.5, 1.0]
        for N in range(1, 9)
    ],
)
layouts = pytest.mark.parametrize(
    ("x_tiled", "z_tiled"), [(True, True), (True, False), (False, True)]
)


@large
def test_forward_agrees_with_reference(kernels, shape, density, N):
    W, X, _ = case(shape, density, N)
    b = np.linspace(-1, 1, shape[0], dtype=np.float32)
    Z = reference.spmm(W.indptr, W.indices, W.data, X) + b[:, None]
    for ahead in (0, 3):
        close(forward(kernels, W, b, X, arguments.plain(N), arguments.plain(N), ahead=ahead), Z)


@large
def test_backward_agrees_with_reference(kernels, shape, density, N):
    W, X, DZ = case(shape, density, N)
    DX, DW = expected(W, X, DZ)
    where = arguments.plain(N)
    for ahead in (0, 3):
        found = Backward(kernels, W, X, DZ, where, where, optimizer_rules.KEPT, ahead=ahead)
        close(found.DX, DX)
        close(found.DW, DW)
        assert np.array_equal(found.data, W.data)
    close(Backward(kernels, W, X, DZ, where, where, optimizer_rules.KEPT, wanted=False).DW, DW)


@layouts
def test_tiles_change_nothing(kernels, x_tiled, z_tiled):
    N = 96
    W, X, DZ = case((64, 33), 0.3, N)
    x = tiled(33) if x_tiled else arguments.plain(N)
    z = tiled(64) if z_tiled else arguments.plain(N)
    b = np.linspace(-1, 1, 64, dtype=np.float32)
    close(forward(kernels, W, b, X, x, z), reference.spmm(*W_of(W), X) + b[:, None])
    found = Backward(kernels, W, X, DZ, x, z, optimizer_rules.KEPT)
    DX, DW = expected(W, X, DZ)
    close(found.DX, DX)
    close(found.DW, DW)


def W_of(W: CsrMatrix):
    return W.indptr, W.indices, W.data


@small
@pytest.mark.parametrize("sides", [None, (3, 4)])
def test_narrow_kernels_agree_with_reference(kernels, monkeypatch, sides, shape, density, N):
    if sides:
        monkeypatch.setattr(block_order, "sides", lambda pattern: sides)
    W, X, DZ = case(shape, density, N)
    b = np.linspace(-1, 1, shape[0], dtype=np.float32)
    DX, DW = expected(W, X, DZ)
    close(small_batch_forward(kernels, W, b, X), reference.spmm(*W_of(W), X) + b[:, None])
    found = SmallBackward(kernels, W, X, DZ, optimizer_rules.KEPT)
    close(found.DX, DX)
    close(found.DW, DW)
    close(SmallBackward(kernels, W, X, DZ, optimizer_rules.KEPT, wanted=False).DW, DW)


@pytest.mark.parametrize("tiles", [False, True])
def test_blocks_take_wide_batches_too(kernels, monkeypatch, tiles):
    monkeypatch.setattr(block_order, "sides", lambda pattern: (3, 4))
    W, X, _ = case((64, 33), 0.3, 96 if tiles else 43)
    b = np.linspace(-1, 1, 64, dtype=np.float32)
    x, z = (tiled(33), tiled(64)) if tiles else (None, None)
    found = small_batch_forward(kernels, W, b, X, x=x, z=z)
    close(found, reference.spmm(*W_of(W), X) + b[:, None])


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    density=st.floats(0, 1),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_the_order_by_blocks_is_a_permutation_of_csr(shape, density, sides, seed):
    """Each connection once, in its own block, rows of a block whole and by their length."""
    W, _, _ = case(shape, density, 1, seed)
    with patch.object(block_order, "sides", lambda pattern: sides):
        order = ByBlock(W.pattern)
    place = order.arranged(np.arange(W.nnz))
    assert np.array_equal(np.sort(place), np.arange(W.nnz))
    assert np.array_equal(order.put_back(place), np.arange(W.nnz))
    assert np.array_equal(order.pattern().indices, W.indices)
    R, C = sides
    for block in range(R * C):
        here = slice(order.starts[block], order.starts[block + 1])
        rows = order.row_cuts[block // C] + order.rows[here].astype(int)
        columns = order.column_cuts[block % C] + order.columns[here].astype(int)
        assert np.array_equal(rows, W.rows[place[here]])
        assert np.array_equal(columns, W.indices[place[here]])
        assert (rows < order.row_cuts[block // C + 1]).all()
        assert (columns < order.column_cuts[block % C + 1]).all()
        lengths = np.bincount(rows, minlength=1)[rows]
        assert (np.diff(lengths) >= 0).all()
        assert np.count_nonzero(np.diff(rows)) == max(0, np.unique(rows).size - 1)


@pytest.mark.parametrize(
    ("shape", "nnz"),
    [((5, 600_000), 3_000_000), ((600_000, 600_000), 24_000_000), ((33_000_000,) * 2, 10**8),
     ((10, 10), 0), ((300, 64), 7280)],
)  # fmt: skip
def test_numbers_of_16_bits_hold_a_blocks_neurons(shape, nnz):
    pattern = CsrPattern(shape, NONE, np.broadcast_to(np.int32(0), nnz))
    for blocks, neurons in zip(block_order.sides(pattern), shape, strict=True):
        assert 1 <= blocks <= max(1, neurons)
        assert 2 * neurons // blocks + 2 < 2**16


OPTIMIZERS = [
    SGD(),
    SGD(momentum=0.9, weight_decay=0.01),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.01, decay="decoupled"),
    SGD(momentum=0.9, weight_decay=0.01, decay="decoupled-unscaled"),
    Adam(weight_decay=0.01),
    Adam(weight_decay=0.01, decay="decoupled"),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("way", ["whole", "tiles", "absorbed", "narrow"])
def test_the_update_is_the_optimizers(kernels, optimizer, way):
    N = 5 if way == "narrow" else 96
    W, X, DZ = case((64, 33), 0.3, N, seed=3)
    _, DW = expected(W, X, DZ)
    rng = np.random.default_rng(4)
    state = [rng.random(W.nnz, dtype=np.float32) for _ in optimizer.slots]
    w, slots = W.data.copy(), [slot.copy() for slot in state]
    optimizer.update(w, DW, slots, 0.1, 3, "weight")
    rule = optimizer_rules.of(optimizer, 0.1, 3)
    if way == "narrow":
        found = SmallBackward(kernels, W, X, DZ, rule, state)
    else:
        if way == "absorbed" and (rule.momentum == 0 or rule.nesterov):
            pytest.skip("a gradient in parts goes into a velocity, without Nesterov")
        x, z = (arguments.plain(N),) * 2 if way == "whole" else (tiled(33), tiled(64))
        found = Backward(kernels, W, X, DZ, x, z, rule, state, stored=way == "tiles")
    close(found.data, w)
    for ours, theirs in zip(found.slots, slots, strict=True):
        close(ours, theirs)
    close(found.DX, expected(W, X, DZ)[0])  # from the weights before the update


def unit_of(slope, rate, t, N):
    dropout = Dropout.of_layer(rate, 5, 1)
    scale = dropout.scale if dropout else np.float32(1)
    key = dropout.step_key(t) if dropout else np.uint32(0)
    threshold = dropout.threshold if dropout else np.uint32(0)
    below = np.float32(scale * np.float32(slope))
    row_bytes = arguments.bit_bytes(N) * (2 if dropout else 1)
    return dropout, UnitNumbers(arguments.TRAIN, scale, below, key, threshold, row_bytes)


@pytest.mark.parametrize("slope", [0.0, -0.6, 0.25])
@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("N", [1, 8, 17, 128])
def test_units_agree_with_reference_and_numpys_dropout(kernels, slope, rate, N):
    K = 37
    dropout, unit = unit_of(slope, rate, 7, N)
    rng = np.random.default_rng(1)
    Z = rng.standard_normal((K, N)).astype(np.float32)
    Z[0, 0] = 0.0
    DA = rng.standard_normal((K, N)).astype(np.float32)
    kept = dropout.kept((K, N), 7) * dropout.scale if dropout else np.float32(1)
    bits = np.zeros(K * unit.row_bytes, np.uint8)
    A = Z.copy()
    kernels.activate(A.reshape(-1), K, N, unit, bits)
    close(A, reference.piecewise_linear(Z, slope) * kept)
    DZ = DA.copy()
    kernels.deactivate(DZ.reshape(-1), K, N, unit, bits)
    close(DZ, reference.piecewise_linear_gradient(Z, slope, DA) * kept)


@pytest.mark.parametrize("N", [3, 96])
@pytest.mark.parametrize("tiles", [False, True])
def test_units_are_applied_on_the_way(kernels, N, tiles):
    """Forward through a unit, and backward through the unit below, as one pass after another."""
    if tiles and N == 3:
        pytest.skip("tiles are for batches above 32")
    K, D = 64, 33
    W, X, DZ = case((K, D), 0.3, N)
    b = np.linspace(-1, 1, K, dtype=np.float32)
    _, unit = unit_of(-0.6, 0.3, 7, N)
    x, z = (tiled(D), tiled(K)) if tiles else (arguments.plain(N),) * 2
    Z = reference.spmm(*W_of(W), X) + b[:, None]
    bits, apart_bits = (np.zeros(K * unit.row_bytes, np.uint8) for _ in range(2))
    apart = np.ascontiguousarray(Z, dtype=np.float32)
    plain.activate(apart.reshape(-1), K, N, unit, apart_bits)
    if N > 8:
        close(forward(kernels, W, b, X, x, z, unit, bits), apart)
    else:
        close(small_batch_forward(kernels, W, b, X, unit, bits), apart)
    tail = [
        np.unpackbits(a.reshape(K, 2, -1), axis=2, bitorder="little")[:, :, :N]
        for a in (bits, apart_bits)
    ]
    assert np.array_equal(*tail)
    below = np.random.default_rng(2).integers(256, size=D * unit.row_bytes, dtype=np.uint8)
    DX = np.ascontiguousarray(expected(W, X, DZ)[0], dtype=np.float32)
    plain.deactivate(DX.reshape(-1), D, N, unit, below)
    if N > 8:
        close(Backward(kernels, W, X, DZ, x, z, optimizer_rules.KEPT, unit=unit, bits=below).DX, DX)
    else:
        close(SmallBackward(kernels, W, X, DZ, optimizer_rules.KEPT, unit=unit, bits=below).DX, DX)


@pytest.mark.parametrize("N", [2, 100])
def test_bfloat16_activations_err_by_their_rounding(kernels, N):
    """8 bits of mantissa: 2^-9 of each product's size, and of the result's."""
    if kernels.forward is plain.forward:
        pytest.skip("plain loops know float32 only")
    W, X, _ = case((64, 33), 0.3, N)
    x = arguments.plain(N)
    rounded = arguments.rounded(X)
    assert np.abs(arguments.widened(rounded) - X).max() <= np.abs(X).max() * 2.0**-8
    b = np.zeros(64, np.float32)
    Z = np.zeros(64 * N, np.uint16)
    kernels.forward(
        chunks(W.indptr),
        *W_of(W),
        b,
        rounded.reshape(-1),
        x,
        Z,
        x,
        N,
        NO_UNIT,
        NO_BITS,
        0,
    )
    exact = reference.spmm(*W_of(W), X)
    close(arguments.widened(Z).reshape(64, N), exact, tolerance=2.0**-7)
    assert not np.array_equal(arguments.widened(Z).reshape(64, N), exact)


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan():
    a = np.array([1.0, 1.00390625, 1.01171875, np.nan, np.inf, -0.0, 3.4e38], np.float32)
    back = arguments.widened(arguments.rounded(a))
    assert np.array_equal(back[:3], np.array([1.0, 1.0, 1.015625], np.float32))
    assert np.isnan(back[3])
    assert np.array_equal(back[4:], np.array([np.inf, -0.0, np.inf], np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_is_passed_on(kernels, bad):
    W, X, _ = case((64, 33), 0.5, 17)
    X[3, 5] = bad
    b = np.zeros(64, np.float32)
    Z = forward(kernels, W, b, X, arguments.plain(17), arguments.plain(17))
    touched = np.isin(np.arange(64), W.rows[W.indices == 3])
    assert np.array_equal(~np.isfinite(Z).all(axis=1), touched)


def test_transpose_index_agrees_with_reference():
    for shape, density in [((64, 33), 0.3), ((3, 400), 0.5), ((400, 3), 0.02)]:
        W, _, _ = case(shape, density, 1)
        found = ByColumn(W.pattern)
        for ours, theirs in zip(
            (found.indptr, found.rows, np.argsort(found.place)),
            reference.transpose_index(W.indptr, W.indices, shape[1]),
            strict=True,
        ):
            assert np.array_equal(ours, theirs)
        assert found.widest == np.diff(found.indptr).max()


two_cores = pytest.mark.skipif(
    not JIT or numba.config.NUMBA_NUM_THREADS < 2, reason="plain Python, or one core: one thread"
)


@numba.njit(parallel=True)
def threads_seen(work, seen):
    """seen[thread] = 1 for each that took part; returns how many there were before and after."""
    threads = numba.get_num_threads()
    before = threads_for(work)
    for _ in numba.prange(seen.size):
        seen[numba.get_thread_id()] = 1
    restore_threads(before)
    return threads, numba.get_num_threads()


@two_cores
@pytest.mark.parametrize(("work", "expected"), [(WORTH_THREADS - 1, 1), (WORTH_THREADS, 2)])
def test_what_is_soon_done_runs_on_one_thread(work, expected):
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(2)
        seen = np.zeros(64, dtype=np.uint8)
        assert threads_seen(work, seen) == (2, 2)
    finally:
        numba.set_num_threads(threads)
    assert seen.sum() == expected


@two_cores
@pytest.mark.parametrize("N", [2, 128])
def test_threads_do_not_change_a_bit(kernels, N):
    W, X, DZ = case((500, 400), 0.75, N, seed=1)
    assert W.nnz * N >= WORTH_THREADS  # else one thread is compared with one
    b = np.linspace(-1, 1, 500, dtype=np.float32)
    rule = optimizer_rules.of(SGD(momentum=0.9), 0.1, 1)
    state = [np.zeros(W.nnz, np.float32)]

    def everything():
        if N > 8:
            where = arguments.plain(N)
            Z = forward(kernels, W, b, X, where, where)
            back = Backward(kernels, W, X, DZ, where, where, rule, state, stored=False)
        else:
            Z = small_batch_forward(kernels, W, b, X)
            back = SmallBackward(kernels, W, X, DZ, rule, state)
        return Z, back.DX, back.data, *back.slots

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = everything()
        numba.set_num_threads(2)
        together = everything()
        assert numba.get_num_threads() == 2
    finally:
        numba.set_num_threads(before)
    for a, c in zip(alone, together, strict=True):
        assert np.array_equal(a, c)
