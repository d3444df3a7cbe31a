"""Data that are stored as csr: the same batches as arrays give, and memory of what is stored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from small import prepare
from sparsebench_plugins.objectives.reconstruction import Reconstruction

from sparsebench.core.csr_batch import CsrBatch
from sparsebench.core.data.samples import Parts
from sparsebench.errors import DataError
from sparsebench.testing.fixtures import peak_bytes

y = np.arange(30) % 3


def stored(dtype=np.float32, seed=0, shape=(30, 12)):
    rng = np.random.default_rng(seed)
    X = sparse.random_array(shape, density=0.3, rng=rng, format="csr")
    X.data = (10 * X.data).astype(dtype)
    return sparse.csr_matrix(X)


@pytest.mark.parametrize("scaling", ["none", "range", "feature"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.float64, np.int32])
def test_batches_hold_what_those_of_arrays_hold(dtype, scaling):
    """Where arrays are not centred. `feature` and `range` divide by what arrays are divided by, or
    by the largest magnitude."""
    X = stored(dtype)
    given = {"scaling": scaling, "validation": 0.2}
    found, dense = prepare(Parts(X, y), **given), prepare(Parts(X.toarray(), y), **given)
    assert found.csr
    assert not dense.csr
    for part in ("train", "validation", "test"):
        mine, theirs = getattr(found, part), getattr(dense, part)
        rows = np.arange(len(mine))[::-1]
        (batch, T), (expected, labels) = mine.batch(rows), theirs.batch(rows)
        np.testing.assert_array_equal(T, labels)
        assert batch.shape == expected.shape
        assert batch.dense().flags.c_contiguous
        if scaling == "none":
            np.testing.assert_array_equal(batch.dense(), expected)
        else:
            raw = X[mine.samples.rows[rows]].toarray().T
            np.testing.assert_allclose(batch.dense(), raw * found.inputs.scale, rtol=1e-6)


def test_a_csr_set_with_a_split_and_its_fingerprint():
    X = stored()
    found = prepare(Parts(X, y, X[:9], y[:9]))
    assert (len(found.train), len(found.test)) == (30, 9)
    assert found.fingerprint == prepare(Parts(X.copy(), y, X[:9], y[:9])).fingerprint
    changed = X.copy()
    changed.data[3] += 1
    assert found.fingerprint != prepare(Parts(changed, y, X[:9], y[:9])).fingerprint
    assert found.train.samples.fingerprint() != found.test.samples.fingerprint()


def test_unsorted_features_are_sorted_and_the_callers_matrix_is_left():
    X = stored()
    begin, end = X.indptr[4:6]
    mixed = sparse.csr_matrix((X.data.copy(), X.indices.copy(), X.indptr.copy()), shape=X.shape)
    mixed.data[begin:end] = mixed.data[begin:end][::-1]
    mixed.indices[begin:end] = before = mixed.indices[begin:end][::-1].copy()
    found = prepare(Parts(mixed, y), scaling="none")
    expected = prepare(Parts(X, y), scaling="none")
    for part in ("train", "test"):
        rows = np.arange(len(getattr(found, part)))
        batches = [getattr(one, part).batch(rows)[0] for one in (found, expected)]
        for name in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(*(getattr(batch, name) for batch in batches))
    np.testing.assert_array_equal(mixed.indices[begin:end], before)


def spoilt(what):
    X = stored()
    if what == "nan":
        X.data[-1] = np.nan
    elif what == "negative":
        X.indices[2] = -1
    elif what == "outside":
        X.indices[2] = 12
    elif what == "twice":
        row = int(np.flatnonzero(np.diff(X.indptr) > 1)[0])
        X.indices[X.indptr[row] + 1] = X.indices[X.indptr[row]]
    elif what == "csc":
        return X.tocsc()
    elif what == "complex":
        return X.astype(np.complex64)
    elif what == "empty":
        return X[:, :0]
    return X


BAD = {
    "nan": r"mine: X has nan at row \d+, column \d+ \(from 0\); expected finite",
    "negative": "X has a value in column -1; expected 0 to 11",
    "outside": "X has a value in column 12; expected 0 to 11",
    "twice": r"X stores column \d+ of row \d+ \(from 0\) twice; expected each once",
    "csc": "X is scipy's csc; expected a numpy array or scipy's csr",
    "complex": "X has dtype complex64; expected numbers",
    "empty": "X is empty",
}


@pytest.mark.parametrize("what", BAD)
def test_a_spoilt_matrix_is_one_line(what):
    with pytest.raises(DataError, match=BAD[what]) as caught:
        prepare(Parts(spoilt(what), y, source="mine"))
    assert "\n" not in str(caught.value)


def test_one_part_as_csr_and_the_other_not_is_refused():
    X = stored()
    with pytest.raises(DataError, match="one of X_train and X_test is csr; expected both"):
        prepare(Parts(X, y, X.toarray(), y))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_an_objective_that_needs_all_values_says_what_to_do(build, noise):
    objective = build("objective", {"name": "reconstruction", "noise": noise})
    assert isinstance(objective, Reconstruction)
    with pytest.raises(DataError, match=r"stored as csr; give it arrays: X\.toarray\(\)"):
        prepare(Parts(stored(), y), objective=objective)


def test_data_take_memory_of_what_they_store():
    """10^5 features and 3000 samples of 30 values: dense they would be 1.2 GB, a batch 40 MB."""
    n, D, each = 3000, 100_000, 30
    rng = np.random.default_rng(0)
    columns = np.sort(rng.permuted(np.tile(np.arange(D // 10), (n, 1)), axis=1)[:, :each], axis=1)
    X = sparse.csr_matrix(
        (np.ones(n * each, np.uint8), (10 * columns).ravel(), np.arange(n + 1) * each), (n, D)
    )
    labels = np.arange(n) % 2

    def read() -> None:
        data = prepare(Parts(X, labels), validation=0.1)
        assert isinstance(data.train.batch(np.arange(100))[0], CsrBatch)

    peak = peak_bytes(read)
    assert peak < 100 * n * each + 100 * D


def test_a_batch_as_a_matrix():
    X = stored().toarray().T
    batch = CsrBatch.of(X.astype(np.float32))
    np.testing.assert_array_equal(batch.dense(), X)
    np.testing.assert_array_equal(batch.matrix().toarray(), X.T)
    v = np.linspace(-1, 1, 30, dtype=np.float32)
    np.testing.assert_allclose(batch @ v, X @ v, rtol=1e-5)
    np.testing.assert_array_equal(abs(CsrBatch.of(-X.astype(np.float32))).dense(), X)
