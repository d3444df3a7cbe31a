"""Files that hold csr: listed, of one's own, and spoilt."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from scipy import sparse
from small import prepare
from sparsebench_plugins.datasets.npz_reader import csr_starts, read_npz

from sparsebench.core.trial import Trial
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError
from sparsebench.run.cost_prediction import predict
from sparsebench.run.trial_sizes import declared_sizes

y = np.arange(24) % 2
X = sparse.csr_matrix(
    sparse.random_array((24, 10), density=0.3, rng=np.random.default_rng(0), format="csr")
)


def parts(X, name="X"):
    """The arrays of a csr matrix as an npz has them."""
    start = f"{name}." if name else ""
    shape = np.array(X.shape)
    return {
        f"{start}{part}": array
        for part, array in zip(
            ("indptr", "indices", "data", "shape"), (X.indptr, X.indices, X.data, shape)
        )
    }


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "cache"))


def listed(folder, arrays, shapes, **facts):
    """A data directory with the set `words`."""
    path = folder / "words.npz"
    np.savez_compressed(path, **arrays)
    entry = {
        "name": "words", "file": path.name, "shapes": shapes,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "storage": "csr", **facts,
    }  # fmt: skip
    (folder / "data.json").write_text(json.dumps([entry]))
    return load_plugins(data_dir=folder)


def component(plugins, **given):
    return plugins.build("dataset", plugins.validate("dataset", given, "t"))


def test_a_listed_set_with_and_without_a_split(tmp_path):
    arrays = {**parts(X, "X_train"), "y_train": y, **parts(X[:5], "X_test"), "y_test": y[:5]}
    plugins = listed(tmp_path, arrays, {"X_train": [24, 10], "X_test": [5, 10]})
    found = component(plugins, name="words").load()
    assert (found.X_train != X).nnz == 0
    assert (found.X_test != X[:5]).nnz == 0
    assert prepare(found, seed=0).csr
    plugins = listed(tmp_path, {**parts(X), "y": y}, {"X": [24, 10]})
    found = component(plugins, name="words").load()
    assert (found.X_train != X).nnz == 0
    assert found.X_test is None


def test_a_listing_that_does_not_fit_the_file(tmp_path):
    plugins = listed(tmp_path, {**parts(X), "y": y}, {"X": [24, 11]})
    with pytest.raises(DataError, match=r"X has shape \(24, 10\); expected \(24, 11\), as listed"):
        component(plugins, name="words").load()


@pytest.mark.parametrize("target", [None, "label"])
def test_a_file_of_ones_own(tmp_path, target):
    path = tmp_path / "my.npz"
    np.savez(path, **parts(X, "words" if target else "X"), **{target or "y": y})
    given = {"target": target} if target else {}
    found = component(load_plugins(), name="file", path=str(path), **given).load()
    assert (found.X_train != X).nnz == 0
    np.testing.assert_array_equal(found.y_train, y)


def test_what_scipy_saved_with_labels_beside_it(tmp_path):
    path = tmp_path / "my.npz"
    sparse.save_npz(path, X)
    with np.load(path) as arrays:
        np.savez(path, **arrays, y=y)
    found = component(load_plugins(), name="file", path=str(path)).load()
    assert (found.X_train != X).nnz == 0
    sparse.save_npz(path, X.tocsc())
    with np.load(path) as arrays:
        np.savez(path, **arrays, y=y)
    with pytest.raises(DataError, match=r"holds scipy's csc; expected csr: save X\.tocsr\(\)"):
        read_npz(path)


def test_names_of_the_matrices_in_a_file():
    assert csr_starts(["y", "X.indptr", "X.indices", "X.data", "X.shape"]) == {"X": "X."}
    assert csr_starts(["y", "indptr", "indices", "data", "shape"]) == {"X": ""}
    assert csr_starts(["X.indptr", "X.indices", "X.data"]) == {}


def spoilt(**changed):
    return {**parts(X), "y": y, **{f"X.{name}": array for name, array in changed.items()}}


falling = X.indptr.copy()
falling[3] = falling[4] + 1
negative = X.indices.copy()
negative[1] = -2

SPOILT = {
    "indptr too short": ({"indptr": X.indptr[:-1]}, "X.indptr has 24 entries; expected 25"),
    "indptr falls": ({"indptr": falling}, "X.indptr does not rise from 0 to the"),
    "indptr begins late": ({"indptr": X.indptr + 1}, "X.indptr does not rise from 0 to the"),
    "indptr of floats": ({"indptr": X.indptr * 1.0}, "X.indptr holds float64; expected a row of"),
    "a negative index": ({"indices": negative}, "X has a value in column -2; expected 0 to 9"),
    "too large an index": ({"indices": X.indices + 9}, "X has a value in column 18"),
    "indices too short": ({"indices": X.indices[1:]}, "X.indices has"),
    "text": ({"data": np.full(X.nnz, "a")}, "X.data holds <U1; expected a row of numbers"),
    "nan": ({"data": np.full(X.nnz, np.nan)}, "X has nan at row"),
    "shape": ({"shape": np.array([24, 10, 1])}, r"X.shape is \[24 10  1\]; expected \[samples"),
    "endless features": ({"shape": np.array([24, 2**40])}, "X has 1099511627776 features; expec"),
    "many features": ({"shape": np.array([24, 2**31 - 1])}, "does not fit into the free memory"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_file_is_one_line(tmp_path, monkeypatch, what):
    monkeypatch.setattr("sparsebench_plugins.datasets.npz_reader.available_memory", lambda: 2**30)
    changed, message = SPOILT[what]
    path = tmp_path / "my.npz"
    np.savez(path, **spoilt(**changed))
    with pytest.raises(DataError, match=message) as caught:
        prepare(component(load_plugins(), name="file", path=str(path)).load(), seed=0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def wide(folder, **facts):
    """Shapes of a set that is never loaded: 800 x 100,000, of which 0.9 % are stored."""
    facts = {"classes": 2, "nonzeros": {"X_train": 728_000, "X_test": 10}, **facts}
    return listed(folder, {"y": y}, {"X_train": [800, 100_000], "X_test": [350, 100_000]}, **facts)


def sparse_trial(plugins, dataset, backend="numba-csr"):
    chosen = {
        "dataset": dataset, "model": {"name": "mlp", "hidden": [100]}, "backend": backend,
        "topology": {"name": "set", "epsilon": 20}, "optimizer": "sgd", "trainer": "sequential",
    }  # fmt: skip
    components = {kind: plugins.validate(kind, one, kind) for kind, one in chosen.items()}
    return Trial(**components, epochs=2, batch_size=100, threads=1, seed=0)


def test_the_least_memory_counts_what_is_stored(tmp_path):
    """4 bytes for a value and 4 for its feature; a backend that gets it dense needs all of it."""
    plugins = wide(tmp_path)
    size = component(plugins, name="words").size()
    assert size.stored == 728_000
    trials = {
        backend: sparse_trial(plugins, "words", backend=backend)
        for backend in ("numba-csr", "scipy-csr", "dense-mask")
    }
    least = {name: predict(trial, plugins).least_bytes for name, trial in trials.items()}
    of = declared_sizes(trials["numba-csr"], plugins)
    assert of.csr
    first = of.layers[0].nnz
    assert least["numba-csr"] == least["scipy-csr"] < 100 * 8 * 910 + 11 * first + 10_000
    assert least["dense-mask"] > 4 * 100 * 100_000
    unknown = wide(tmp_path, nonzeros=None)
    assert component(unknown, name="words").size().stored == 0
    assert predict(sparse_trial(unknown, "words"), unknown).least_bytes < least["numba-csr"]


def test_listings_say_csr(tmp_path):
    plugins = wide(tmp_path)
    assert plugins.entry("dataset", "words").summary == "1150 x 100000 as csr, 2 classes"
