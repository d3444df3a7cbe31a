"""Kernels against their twins, and against themselves for other numbers of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from sparsebench_plugins.backends import numba_kernels as kernels

from sparsebench.sparse import reference
from sparsebench.testing.fixtures import random_matrix
from sparsebench.training.dropout import Dropout

# Run as plain Python (NUMBA_DISABLE_JIT=1), the generator's wrapping products warn.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")

NO = np.empty((0, 0), np.float32)


def case(shape, density, N, seed=0):
    rng = np.random.default_rng(seed)
    K, D = shape
    W = random_matrix(shape, round(density * K * D), rng)
    X = rng.standard_normal((D, N)).astype(np.float32)
    DZ = rng.standard_normal((K, N)).astype(np.float32)
    t_indptr = np.zeros(D + 1, W.indices.dtype)
    t_rows, t_place = (np.empty(W.nnz, W.indices.dtype) for _ in range(2))
    kernels.transpose_index(W.indptr, W.indices, t_indptr, t_rows, t_place)
    return W, X, DZ, (t_indptr, t_rows, t_place)


def close(a, b):
    np.testing.assert_allclose(a, b, atol=2e-5 * max(1, np.abs(b).max(initial=0)), rtol=0)


cases = pytest.mark.parametrize(
    ("shape", "density", "N"),
    [
        (shape, density, N)
        for shape in [(1, 1), (5, 7), (64, 33)]
        for density in [0.0, 0.03, 0.5, 1.0]
        for N in [1, 2, 17, 128]
    ],
)


@cases
def test_forward_agrees_with_reference(shape, density, N):
    W, X, DZ, _ = case(shape, density, N)
    b = np.linspace(-1, 1, shape[0], dtype=np.float32)
    Z = np.full_like(DZ, np.nan)
    kernels.forward(W.indptr, W.indices, W.data, b, X, Z)
    close(Z, reference.spmm(W.indptr, W.indices, W.data, X) + b[:, None])


@cases
def test_backward_agrees_with_reference(shape, density, N):
    W, X, DZ, index = case(shape, density, N)
    DX, DW = np.full_like(X, np.nan), np.full(W.nnz, np.nan, np.float32)
    kernels.backward(*index, W.data, X, DZ, DX, DW)
    close(DX, reference.spmm_t(W.indptr, W.indices, W.data, DZ, shape[1]))
    close(DW, reference.sddmm(W.indptr, W.indices, DZ, X))


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_transpose_index_agrees_with_reference(density):
    W, _, _, index = case((20, 30), density, 1)
    for found, expected in zip(index, reference.transpose_index(W.indptr, W.indices, 30)):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("slope", [0.0, 0.3, -0.6, 1.0])
def test_activation_agrees_with_reference(slope):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((9, 21)).astype(np.float32)
    Z[0, :3] = [0.0, -0.0, 1.0]
    DA = rng.standard_normal(Z.shape).astype(np.float32)
    A, state, DZ = Z.copy(), np.empty(Z.shape, np.uint8), DA.copy()
    one = np.float32(1)
    kernels.activate(A, np.float32(slope), state, np.uint32(0), np.uint32(0), one)
    kernels.deactivate(DZ, np.float32(slope), state, one)
    close(A, reference.piecewise_linear(Z, slope))
    close(DZ, reference.piecewise_linear_gradient(Z, slope, DA))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_dropout_bits_are_those_of_numpy(rate):
    dropout = Dropout(rate, key=123456)
    for t in (1, 2, 70_000):
        A = np.ones((100, 130), np.float32)
        state = np.empty(A.shape, np.uint8)
        key = dropout.step_key(t)
        kernels.activate(A, np.float32(0), state, key, dropout.threshold, dropout.scale)
        kept = dropout.kept(A.shape, t)
        assert np.array_equal(A, kept * dropout.scale)
        assert np.array_equal(state > 0, kept)
        share = 1 - kept.mean()
        assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / kept.size)


def test_the_same_bits_for_any_number_of_threads():
    W, X, DZ, index = case((257, 301), 0.1, 64)
    f = np.float32
    results = []
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        data, velocity = W.data.copy(), np.zeros_like(W.data)
        Z, DX, DW = np.empty_like(DZ), np.empty_like(X), np.empty_like(W.data)
        kernels.forward(W.indptr, W.indices, data, np.zeros(257, f), X, Z)
        kernels.backward(*index, data, X, DZ, DX, DW)
        kernels.backward_and_sgd(
            *index, data, velocity, X, DZ, NO, f(0.1), f(0.9), True, f(0.1), f(1.0)
        )
        results.append((Z, DX, DW, data, velocity))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


def test_nan_is_not_lost():
    W, X, _, _ = case((8, 8), 1.0, 16)
    X[3, 5] = np.nan
    Z = np.empty((8, 16), np.float32)
    kernels.forward(W.indptr, W.indices, W.data, np.zeros(8, np.float32), X, Z)
    assert np.isnan(Z[:, 5]).all()
