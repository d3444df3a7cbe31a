from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small import prepare
from sparsebench_plugins.datasets import registration
from sparsebench_plugins.datasets.npz_reader import read_npz
from sparsebench_plugins.losses import LinearSquaredError
from sparsebench_plugins.objectives.classification import Classification
from sparsebench_plugins.objectives.regression import Regression

import sparsebench
from sparsebench.core.data.dataset import Dataset
from sparsebench.core.data.samples import ImageShape
from sparsebench.discovery import load_plugins
from sparsebench.errors import DataError, MissingData, PluginError, SuiteError
from sparsebench.registry import Plugins

X = np.arange(24, dtype=np.float32).reshape(8, 3)
y = np.array([0, 1] * 4)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def listed(data_dir, name="mine", sha256=None, shapes=None, **arrays):
    """A data directory with one set, whose file may already be there."""
    path = data_dir / f"{name}.npz"
    if arrays:
        np.savez_compressed(path, **arrays)
    if shapes is None:
        shapes = {key: list(a.shape) for key, a in arrays.items() if key.startswith("X")}
    if sha256 is None:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"name": name, "file": path.name, "sha256": sha256, "shapes": shapes}
    (data_dir / "data.json").write_text(json.dumps([entry]))
    return path


def registered(data_dir):
    """What `register_all` registers, and nothing of other plugins."""
    found = {}

    def register(name, target, *, params=None, requires=(), summary=""):
        assert name not in found
        found[name] = target

    registration.register_all(register, data_dir)
    return found


def component(data_dir, name, **parameters):
    plugins = load_plugins(data_dir=data_dir)
    return plugins.build("dataset", plugins.validate("dataset", {"name": name, **parameters}, "t"))


# --- every set -----------------------------------------------------------------------

SMALL = {
    "digits": {},
    "breast-cancer": {},
    "wine": {},
    "madelon-like": {"train": 60, "test": 20},
    "microarray-like": {"samples": 40, "features": 50, "informative": 5, "classes": 3},
    "diabetes": {},
    "friedman": {"train": 30, "test": 9},
    "extreme": {"features": 64, "train": 30, "test": 9, "informative": 8, "classes": 3},
}


@pytest.mark.parametrize("name", list(SMALL))
def test_every_built_in_set_loads_prepares_and_repeats(data_dir, name):
    first, again = (component(data_dir, name, **SMALL[name]) for _ in range(2))
    assert isinstance(first, Dataset)
    assert first == again
    assert first.identity() == again.identity()
    numbers = name in ("diabetes", "friedman")
    objective = Regression(LinearSquaredError()) if numbers else Classification()
    found, repeated = (
        prepare(s.load(), objective=objective, validation=0.2) for s in (first, again)
    )
    assert found.fingerprint == repeated.fingerprint
    batch, _ = found.train.batch(np.arange(4))
    assert batch.shape == (found.features, 4)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.isfinite(batch).all()
    if not numbers:
        assert set(found.train.targets) == set(range(found.outputs))


def test_shapes_are_where_the_labels_say(data_dir):
    parts = component(data_dir, "shapes", train=20, test=5, side=16, noise=0.0).load()
    assert (parts.X_test.shape, parts.y_test.shape) == ((5, 768), (5, 256))
    for image, mask in zip(parts.X_train.reshape(20, 256, 3), parts.y_train.astype(bool)):
        assert 0 < mask.sum() < 256
        shape, ground = np.unique(image[mask], axis=0), np.unique(image[~mask], axis=0)
        assert len(shape) == len(ground) == 1  # one colour each
        assert not np.array_equal(shape, ground)


@pytest.mark.parametrize(
    ("name", "samples", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast-cancer", 569, 30, 2), ("wine", 178, 13, 3)],
)
def test_embedded_sets_are_scikit_learns(data_dir, name, samples, features, classes):
    from sklearn import datasets

    parts = component(data_dir, name).load()
    assert parts.X_train.shape == (samples, features)
    theirs = getattr(datasets, f"load_{name.replace('-', '_')}")()
    np.testing.assert_array_equal(parts.X_train, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(parts.y_train, theirs.target)
    assert prepare(parts, seed=0).outputs == classes
    assert (parts.image == ImageShape(8, 8)) == (name == "digits")


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (None, None),
        ({"h": 2, "w": 3, "c": 1, "order": "F"}, ImageShape(2, 3, 1, "F")),
        ({"h": 2, "w": 1, "c": 3, "order": "C (HWC)"}, ImageShape(2, 1, 3)),
        ({"h": 2, "w": 2, "c": 1}, None),
        ({"h": -2, "w": -3, "c": 1}, None),
    ],
)
def test_a_listed_set_says_that_its_features_are_pixels(data_dir, stated, found):
    listed(data_dir, X=np.ones((4, 6)), y=np.array([0, 1, 0, 1]))
    (entry,) = json.loads((data_dir / "data.json").read_text())
    (data_dir / "data.json").write_text(json.dumps([{**entry, "image": stated}]))
    parts = component(data_dir, "mine").load()
    assert parts.image == prepare(parts, seed=0).inputs.image == found


@pytest.mark.parametrize("name", ["madelon-like", "microarray-like", "extreme"])
def test_the_seed_of_generated_data_is_their_own(data_dir, name):
    marks = {
        prepare(component(data_dir, name, **SMALL[name], seed=seed).load(), seed=0).fingerprint
        for seed in (0, 1)
    }
    assert len(marks) == 2


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("extreme", {"features": 0}, "expected more than 0"),
        ("extreme", {"informative": 99, "features": 9}, "at most features, 9"),
        ("microarray-like", {"samples": 20}, "at least 2 per class"),
        ("madelon-like", {"seed": -1}, "expected 0 or more"),
        ("madelon-like", {"train": "many"}, "expected a whole number"),
        ("digits", {"seed": 1}, "no such parameter"),
        ("file", {}, "path"),
    ],
)
def test_parameters_are_checked(data_dir, name, parameters, message):
    with pytest.raises(SuiteError, match=message):
        load_plugins(data_dir=data_dir).validate("dataset", {"name": name, **parameters}, "t")


# --- generated -----------------------------------------------------------------------


def test_informative_features_tell_the_classes_apart(data_dir):
    for name in ("microarray-like", "extreme"):
        parameters = {**SMALL[name], "informative": 40, "separation": 8.0}
        found = prepare(component(data_dir, name, **parameters).load(), seed=0)
        train, test = (part.batch(np.arange(len(part)))[0].T for part in (found.train, found.test))
        means = np.stack([train[found.train.targets == c].mean(axis=0) for c in range(3)])
        nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == found.test.targets).mean() > 0.9


def test_a_sample_of_extreme_depends_on_its_index_alone(data_dir):
    found = component(data_dir, "extreme", **SMALL["extreme"])
    train, test, _ = found.load()
    rows = np.arange(30)
    every = train.batch(rows)
    order = rows[::-1]
    np.testing.assert_array_equal(train.batch(order), every[:, order])
    longer, *_ = component(data_dir, "extreme", **{**SMALL["extreme"], "train": 39}).load()
    np.testing.assert_array_equal(longer.batch(30 + np.arange(9)), test.batch(np.arange(9)))
    assert train.fingerprint() != test.fingerprint()


def test_extreme_is_standardised(data_dir):
    train, *_ = component(
        data_dir, "extreme", features=20, informative=10, train=20000, separation=3.0
    ).load()
    batch = train.batch(np.arange(20000))
    np.testing.assert_allclose(batch.mean(axis=1), 0, atol=0.05)
    np.testing.assert_allclose(batch.std(axis=1), 1, atol=0.05)


def test_extreme_is_never_held_whole(data_dir):
    found = component(data_dir, "extreme")
    whole = found.features * (found.train + found.test) * 4
    tracemalloc.start()
    try:
        data = prepare(found.load(), seed=0)
        for start in (0, 32):
            data.train.batch(np.arange(start, start + 32))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole > 2.6e9
    assert peak < whole / 100


# --- data.json -----------------------------------------------------------------------


def test_whatever_is_listed_is_a_data_set(data_dir):
    path = listed(data_dir, "any.name-7", X=X, y=y)
    found = component(data_dir, "any.name-7")
    assert found.identity() == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    parts = found.load()
    np.testing.assert_array_equal(parts.X_train, X)
    assert parts.X_test is None
    assert parts.source == str(path)


def test_a_listed_split_is_used_and_arrays_beside_it_are_left(data_dir):
    arrays = {"X_train": X, "y_train": y, "X_test": X[:4], "y_test": y[:4]}
    shapes = {"X_train": [8, 3], "X_test": [4, 3]}
    listed(data_dir, shapes=shapes, **arrays, names=np.array(["a", "b", "c"] * 9))
    parts = component(data_dir, "mine").load()
    np.testing.assert_array_equal(parts.X_test, X[:4])


def test_the_first_samples_of_a_listed_set_in_their_order_or_shuffled(data_dir):
    parts = {"X_train": X, "y_train": y, "X_test": X[:4] + 100, "y_test": y[:4]}
    listed(data_dir, **parts)
    cls = registered(data_dir)["mine"]
    first = cls(train=3, test=2).load()
    assert np.array_equal(first.X_train, X[:3])
    assert np.array_equal(first.y_test, y[:2])
    shuffled = cls(train=3, order=0).load()
    draw, train, test = np.random.RandomState(0), np.arange(8), np.arange(4)
    draw.shuffle(train)
    draw.shuffle(test)
    assert np.array_equal(shuffled.X_train, X[train[:3]])
    assert np.array_equal(shuffled.X_test, parts["X_test"][test])
    with pytest.raises(DataError, match="has 4 samples in a part; found 5"):
        cls(test=5).load()


def test_arrays_in_column_order_become_row_order(data_dir):
    listed(data_dir, X=np.asfortranarray(X), y=y)
    assert component(data_dir, "mine").load().X_train.flags.c_contiguous


def test_a_listed_set_that_is_not_there_is_missing_with_its_command(data_dir):
    listed(data_dir, X=X, y=y).unlink()
    for ask in ("identity", "load"):
        with pytest.raises(MissingData) as caught:
            getattr(component(data_dir, "mine"), ask)()
        assert str(caught.value).endswith("is not there; put the listed mine.npz back")


def test_a_wrong_checksum_is_found_before_the_file_is_read(data_dir):
    listed(data_dir, sha256="0" * 64, X=X, y=y)
    with pytest.raises(DataError, match="sha256 is"):
        component(data_dir, "mine").load()


def bomb(path, shape):
    """An npz whose header promises `shape` and which holds nothing of it."""
    header = io.BytesIO()
    declared = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, declared)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", header.getvalue())
        labels = io.BytesIO()
        np.save(labels, y)
        archive.writestr("y.npy", labels.getvalue())


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def overwrite(path):
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)


def pickled(path):
    np.savez(path, X=X, y=np.array([{}] * 8, dtype=object))


SPOILT = {
    "truncated": (truncate, "truncated or not an npz"),
    "overwritten": (overwrite, "truncated or not an npz"),
    "empty": (lambda path: path.write_bytes(b""), "truncated or not an npz"),
    "text": (lambda path: path.write_text("X,y\n1,2"), "truncated or not an npz"),
    "pickled": (pickled, "holds Python objects"),
    "wrong shape": (lambda path: np.savez(path, X=X[:, :2], y=y), r"shape \(8, 2\); expected"),
    "labels that do not match": (lambda path: np.savez(path, X=X, y=y[:5]), r"y has shape \(5,\)"),
    "no labels": (lambda path: np.savez(path, X=X), "array 'y' is missing"),
    "bomb": (lambda path: bomb(path, (10**7, 10**7)), "expected"),
}


@pytest.mark.parametrize("what", list(SPOILT))
@pytest.mark.parametrize("how", ["listed", "file"])
def test_a_spoilt_file_is_one_line(data_dir, what, how):
    spoil, message = SPOILT[what]
    path = listed(data_dir, X=X, y=y)
    spoil(path)
    if how == "file":
        found = component(data_dir, "file", path=str(path))
        message = "|".join([message, "for 8 samples", "no array 'y'", "but has 0"])
        if what == "wrong shape":  # nothing says another
            return
    else:
        listed(data_dir, shapes={"X": [8, 3]})
        found = component(data_dir, "mine")
    with pytest.raises(DataError, match=message) as caught:
        prepare(found.load(), seed=0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_bomb_in_the_shape_that_is_listed_is_refused_too(data_dir):
    path = data_dir / "mine.npz"
    bomb(path, (10**7, 10**7))
    listed(data_dir, shapes={"X": [10**7, 10**7], "y": [8]})
    with pytest.raises(DataError, match="but has 0"):
        component(data_dir, "mine").load()


def test_more_than_this_machine_holds_is_refused(data_dir, monkeypatch):
    listed(data_dir, X=X, y=y)
    monkeypatch.setattr("sparsebench_plugins.datasets.npz_reader.available_memory", lambda: 100)
    with pytest.raises(DataError, match="more than this machine"):
        component(data_dir, "mine").load()


def zeros(path, mebibytes):
    """A small file that unpacks to so many MiB of zeros, as its headers rightly say."""
    count = mebibytes * 2**18
    header = io.BytesIO()
    declared = {"descr": "<f4", "fortran_order": False, "shape": (count // 1024, 1024)}
    np.lib.format.write_array_header_1_0(header, declared)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("X.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(mebibytes // 16):
                member.write(bytes(2**24))
        labels = io.BytesIO()
        np.save(labels, np.zeros(count // 1024))
        archive.writestr("y.npy", labels.getvalue())


def test_a_zip_bomb_is_refused_by_its_ratio_before_it_is_read(data_dir, monkeypatch):
    monkeypatch.setattr("sparsebench_plugins.datasets.npz_reader.HARMLESS", 2**25)
    monkeypatch.setattr("sparsebench_plugins.datasets.npz_reader.available_memory", lambda: 2**40)
    path = data_dir / "bomb.npz"
    zeros(path, 128)
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than 200 times as much"):
            of_file(path).load()
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def raw_npz(path, descr, shape, content=b"", how=zipfile.ZIP_STORED):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("X.npy", header.getvalue() + content)


@pytest.mark.parametrize(
    ("descr", "shape", "message"),
    [
        ("<f4", (10**9, 10**9), "declares shape"),
        ("<f4", (-1, 3), "declares shape"),
        ("<U0", (10**12,), "expected numbers or strings"),
        ("|V0", (10**12,), "expected numbers or strings"),
        ([("a", "<f4"), ("b", "<i4")], (0,), "expected numbers or strings"),
        ("|O", (3,), "holds Python objects"),
        ("<M8[s]", (0,), "expected numbers or strings"),
    ],
)
def test_headers_that_no_data_set_has(data_dir, descr, shape, message):
    raw_npz(data_dir / "odd.npz", descr, shape)
    with pytest.raises(DataError, match=message) as caught:
        read_npz(data_dir / "odd.npz")
    assert "\n" not in str(caught.value)


def test_odd_archives_are_refused(data_dir):
    raw_npz(data_dir / "lzma.npz", "<f4", (0, 3), how=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="packed in a way that numpy does not write"):
        of_file(data_dir / "lzma.npz").load()
    with zipfile.ZipFile(data_dir / "many.npz", "w") as archive:
        for i in range(1001):
            archive.writestr(f"{i}.npy", b"")
    with pytest.raises(DataError, match="it has 1001 members"):
        of_file(data_dir / "many.npz").load()


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ",
        b"'''",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}}",
        b"{'descr': [], 'fortran_order': 0, 'shape': 'x'}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2.5, 3)}",
        b"\xff\xfe\x00",
        b"(" * 500,
        b"  1",
        b"",
    ],
)
def test_a_malformed_header_is_one_line(data_dir, header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path = data_dir / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", content)
        archive.writestr("facts.npy", content)
    with pytest.raises(DataError, match="truncated or not an npz") as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is not an exported model") as caught:
        sparsebench.load_model(path)
    assert "\n" not in str(caught.value)


def test_a_header_of_megabytes_is_refused(data_dir):
    """numpy reads a header by evaluating a literal; a long one is refused first."""
    with zipfile.ZipFile(data_dir / "long.npz", "w") as archive:
        text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1, " * 10**6 + b")}"
        archive.writestr("X.npy", b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text)
    with pytest.raises(DataError, match="truncated or not an npz"):
        of_file(data_dir / "long.npz").load()


@pytest.mark.parametrize("place", ["../x.npz", "/etc/passwd", "a/../../x.npz", "..\\x.npz", "."])
def test_a_listed_file_stays_in_the_data_directory(data_dir, place):
    entry = {"name": "mine", "file": place, "sha256": "0" * 64, "shapes": {"X": [8, 3]}}
    (data_dir / "data.json").write_text(json.dumps([entry]))
    with pytest.raises(DataError, match="expected a path inside the data directory"):
        component(data_dir, "mine").load()


def test_a_link_out_of_the_data_directory_needs_the_listed_checksum(data_dir, tmp_path):
    np.savez(tmp_path / "elsewhere.npz", X=X + 1, y=y)
    path = listed(data_dir, X=X, y=y)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(DataError, match="sha256 is"):
        component(data_dir, "mine").load()


def test_unusable_entries_are_registered_and_say_why_when_used(data_dir):
    entries = [
        {"name": "escaping", "file": "../x.npz", "sha256": "0" * 64, "shapes": {"X": [1, 1]}},
        {"name": "odd", "file": "x.npz"},
        {"file": "no-name.npz"},
        17,
    ]
    (data_dir / "data.json").write_text(json.dumps(entries))
    assert set(registered(data_dir)) == {*BUILT_IN, "escaping", "odd"}
    for name, message in (("escaping", "entry 1 .*'file'"), ("odd", "entry 2 .*'sha256'")):
        for ask in ("identity", "load"):
            with pytest.raises(DataError, match=message):
                getattr(component(data_dir, name), ask)()
    component(data_dir, "digits").load()


def test_a_listed_set_with_a_built_in_name_is_ambiguous_and_harms_no_other(data_dir):
    listed(data_dir, "wine", X=X, y=y)
    with pytest.raises(DataError, match="a built-in data set has this name"):
        component(data_dir, "wine").load()
    component(data_dir, "digits").load()


def test_a_manifest_that_is_no_json_keeps_the_built_in_sets(data_dir):
    (data_dir / "data.json").write_text("[{")
    names = []
    with pytest.raises(DataError, match="is not JSON"):
        registration.register_all(lambda name, *_, **__: names.append(name), data_dir)
    assert set(names) == BUILT_IN


# --- file ----------------------------------------------------------------------------


def of_file(path, **parameters):
    return component(path.parent, "file", path=str(path), **parameters)


@pytest.mark.parametrize(
    ("arrays", "parameters"),
    [
        ({"X": X, "y": y}, {}),
        ({"X": X, "y": y, "other": X}, {}),
        ({"X": X, "label": y}, {"target": "label"}),
        ({"values": X, "label": y}, {"target": "label"}),
        ({"X_train": X, "y_train": y, "X_test": X, "y_test": y}, {}),
        ({"X_train": X, "y_train": y, "X_test": X, "y_test": y}, {"target": "y"}),
    ],
)
def test_npz_files(tmp_path, arrays, parameters):
    path = tmp_path / "my.npz"
    np.savez(path, **arrays)
    found = of_file(path, **parameters)
    parts = found.load()
    np.testing.assert_array_equal(parts.X_train, X)
    np.testing.assert_array_equal(parts.y_train, y)
    assert (parts.X_test is not None) == ("X_test" in arrays)
    assert found.identity() == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("target", [None, "kind", "b"])
def test_csv_files(tmp_path, target):
    path = tmp_path / "my.csv"
    path.write_text("a,b,kind\n" + "1,0,cat\n2,1,dog\n" * 4)
    if target == "b":
        path.write_text(path.read_text().replace("cat", "4").replace("dog", "5"))
    parts = of_file(path, **({"target": target} if target else {})).load()
    data = prepare(parts, seed=0)
    assert data.outputs == 2
    assert parts.X_train.shape == (8, 2)
    assert parts.y_train.tolist()[:2] == ([0, 1] if target == "b" else ["cat", "dog"])


CSV = {
    "text feature": ("a,b,y\n1,x,0\n2,y,1\n", "column 'b' holds 'x' in line 2"),
    "missing label": ("a,y\n1,0\n2,\n", "y has no label in line 3"),
    "missing value": ("a,y\n?,0\n2,1\n3,0\n4,1\n", r"column 'a' has '\?' in line 2"),
    "empty": ("", "is not a csv table"),
    "ragged": ("a,y\n1,2\n1,2,3,4\n", "is not a csv table"),
    "one column": ("y\n1\n2\n", "the column 'y' only"),
    "header only": ("a,y\n", "has no rows"),
}


def test_an_absurdly_wide_csv_is_refused_by_its_header(tmp_path, monkeypatch):
    path = tmp_path / "wide.csv"
    path.write_text("a," * 10**6 + "y\n")
    with pytest.raises(DataError, match="1,000,001 columns") as caught:
        of_file(path).load()
    assert len(str(caught.value)) < 500
    monkeypatch.setattr("sparsebench_plugins.datasets.csv_dialect.LONGEST_HEADER", 1000)
    with pytest.raises(DataError, match="its header row has over 501 columns"):
        of_file(path).load()


def test_a_csv_bomb_is_unpacked_no_further_than_there_is_room(tmp_path, monkeypatch):
    memory = 64 * 2**20
    monkeypatch.setattr("sparsebench_plugins.datasets.csv_dialect.available_memory", lambda: memory)
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(b"a,y\n")
        for _ in range(100):
            stream.write(b"0,0\n" * 2**18)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="does not fit into the free memory"):
            of_file(path).load()
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    plain = tmp_path / "large.csv"
    plain.write_bytes(b"a,y\n" + b"0,0\n" * 2**22)
    with pytest.raises(DataError, match="does not fit into the free memory"):
        of_file(plain).load()


@pytest.mark.parametrize("how", ["cut", "overwritten", "no gzip"])
def test_a_damaged_csv_gz_is_one_line(tmp_path, how):
    content = bytearray(gzip.compress(b"a,y\n" + b"1,0\n2,1\n" * 500))
    if how == "cut":
        del content[-20:]
    elif how == "overwritten":
        content[12:40] = b"\xff" * 28
    else:
        content[:2] = b"ab"
    path = tmp_path / "my.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a csv table") as caught:
        of_file(path).load()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", list(CSV))
def test_a_spoilt_csv_is_one_line(tmp_path, what):
    text, message = CSV[what]
    path = tmp_path / "my.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        prepare(of_file(path).load(), seed=0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_file_says_what_is_known(tmp_path):
    np.savez(tmp_path / "my.npz", X=X, labels=y)
    (tmp_path / "my.csv").write_text("a,kind\n1,2\n")
    (tmp_path / "my.xlsx").write_text("")
    for path, parameters, message in (
        ("my.npz", {"target": "label"}, "Did you mean 'labels'"),
        ("my.csv", {"target": "kinds"}, "Did you mean 'kind'"),
        ("my.xlsx", {}, r"expected \.csv, .* save it as csv"),
    ):
        with pytest.raises(DataError, match=message):
            of_file(tmp_path / path, **parameters).load()
    with pytest.raises(DataError, match="is not a file"):
        of_file(tmp_path / "no.npz").identity()


# --- lightness and real data ---------------------------------------------------------

BUILT_IN = {*registration.BUILT_IN, registration.GRAPH_CHALLENGE}

LIGHT = """
import sys
import importlib
from pathlib import Path
from sparsebench_plugins.datasets import registration
made = {}
def register(name, target, *, params=None, requires=(), summary=""):
    made[name] = params if params is not None else target
registration.register_all(register, Path(sys.argv[1]))
for name, cls in made.items():
    if isinstance(cls, str):
        module, _, cls = cls.partition(":")
        cls = getattr(importlib.import_module(module), cls)
    parameters = {"file": {"path": sys.argv[2]}, "graph-challenge": {"generated": True}}
    instance = cls(**parameters.get(name, {}))
    assert instance.identity(), name
print([m for m in ("numpy", "scipy", "sklearn", "pandas", "numba") if m in sys.modules])
print(len(made))
"""


def test_registration_and_identities_import_nothing_heavy(data_dir):
    path = listed(data_dir, X=X, y=y)
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, data_dir, path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", str(len(BUILT_IN) + 1)]


REAL = os.environ.get("SPARSEBENCH_DATA")


@pytest.mark.skipif(not REAL, reason="SPARSEBENCH_DATA is not set: no real data sets to read")
def test_real_data_sets_are_what_their_manifest_says():
    plugins: Plugins = load_plugins(data_dir=Path(str(REAL)))
    entries = json.loads(Path(str(REAL), "data.json").read_text())
    small = [e for e in entries if Path(str(REAL), e["file"]).stat().st_size < 6_000_000]
    assert small
    for entry in small:
        found = plugins.build("dataset", {"name": entry["name"]})
        assert found.identity() == {"sha256": entry["sha256"]}
        data = prepare(found.load(), seed=0)
        assert data.features == next(iter(entry["shapes"].values()))[1]
        assert data.outputs == entry["classes"]


def test_an_unknown_set_is_an_error(data_dir):
    with pytest.raises(PluginError, match="unknown dataset 'digit'"):
        load_plugins(data_dir=data_dir).entry("dataset", "digit")
