"""Files of gene expression and single cells, and of MATLAB's HDF5: what is understood of each."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from scipy import sparse
from sparsebench_plugins.datasets.file import File

from sparsebench.errors import DataError

X = np.random.default_rng(0).normal(size=(6, 4)).round(3)
TISSUE = ["tumor", "normal", "tumor", "normal", "tumor", "normal"]


# --- series matrices of GEO -----------------------------------------------------------


def series(characteristics=None, values=X):
    quoted = lambda cells: "\t".join(f'"{cell}"' for cell in cells)  # noqa: E731
    samples = [f"GSM{n}" for n in range(6)]
    if characteristics is None:
        characteristics = [
            [f"tissue: {one}" for one in TISSUE], [f"age: {30 + n}" for n in range(6)],
        ]  # fmt: skip
    rows = [f'"{n}_at"\t' + "\t".join(map(str, column)) for n, column in enumerate(values.T)]
    return "\n".join([
        '!Series_title\t"A study"', "", f"!Sample_title\t{quoted(samples)}",
        *(f"!Sample_characteristics_ch1\t{quoted(line)}" for line in characteristics),
        "!series_matrix_table_begin", f'"ID_REF"\t{quoted(samples)}', *rows,
        "!series_matrix_table_end", "",
    ])  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_a_series_matrix(tmp_path, packed):
    path = tmp_path / ("GSE1_series_matrix.txt" + (".gz" if packed else ""))
    text = series().encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    parts = File(str(path)).read()
    np.testing.assert_array_equal(parts.X_train, X)
    assert parts.y_train.tolist() == TISSUE
    assert parts.features == ["0_at", "1_at", "2_at", "3_at"]
    assert "target: 'tissue', the only line with few different values" in parts.notes
    assert File(str(path), target="age").read().y_train.tolist() == list(range(30, 36))


def of_series(folder, text, **given):
    path = folder / "GSE1_series_matrix.txt"
    path.write_text(text)
    return File(str(path), **given).read()


def test_characteristics_in_another_order_are_found_by_their_names(tmp_path):
    mixed = [
        ["tissue: a", "age: 3", "tissue: b", "tissue: b", "tissue: a", "tissue: a"],
        ["age: 1", "tissue: a", "age: 5", "age: 6", "age: 7", "age: 8"],
    ]
    parts = of_series(tmp_path, series(mixed), target="tissue")
    assert parts.y_train.tolist() == ["a", "a", "b", "b", "a", "a"]


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        (series([[f"x: {n}" for n in TISSUE], [f"z: {n}" for n in TISSUE]]), {}, r"one of x \(2"),
        (series(), {"target": "tisue"}, "Did you mean 'tissue'"),
        (series([["tissue: a", "", *["tissue: b"] * 4]]), {"target": "tissue"}, "1 samples have"),
        (series().partition("!series_matrix_table_begin")[0], {}, "series_matrix_table_begin"),
        (series(values=np.empty((6, 0))), {}, "holds no values"),
    ],
)
def test_a_series_that_does_not_say_enough_is_one_line(tmp_path, text, given, words):
    with pytest.raises(DataError, match=words) as caught:
        of_series(tmp_path, text, **given)
    assert "\n" not in str(caught.value)


def test_missing_expressions_are_filled_as_asked(tmp_path):
    text = series().replace(str(X[0, 0]), "null", 1)
    with pytest.raises(DataError, match="GSM0"):
        of_series(tmp_path, text)
    assert of_series(tmp_path, text, missing="zero").X_train[0, 0] == 0


# --- AnnData and MATLAB 7.3 -----------------------------------------------------------

h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")


def ann_data(path, matrix=X, obs=("cell_type",)):
    with h5py.File(path, "w") as file:
        if sparse.issparse(matrix):
            group = file.create_group("X")
            group.attrs["encoding-type"] = f"{matrix.format}_matrix"
            group.attrs["shape"] = matrix.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)
        else:
            file["X"] = matrix
        for kind, size in (("obs", 6), ("var", 4)):
            group = file.create_group(kind)
            group.attrs["_index"] = "names"
            group["names"] = [f"{kind}{n}" for n in range(size)]
        for name in obs:
            column = file["obs"].create_group(name)
            column["categories"] = ["normal", "tumor"]
            column["codes"] = np.array([one == "tumor" for one in TISSUE], dtype=np.int8)
        file["obs"]["count"] = np.arange(6)
    return str(path)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_cells_with_types(tmp_path, kind):
    parts = File(ann_data(tmp_path / "cells.h5ad", kind(X))).read()
    found = parts.X_train
    assert sparse.issparse(found) == (kind is not np.asarray)
    np.testing.assert_array_equal(found.toarray() if sparse.issparse(found) else found, X)
    assert parts.y_train.tolist() == TISSUE
    assert parts.features == ["var0", "var1", "var2", "var3"]


def test_cells_need_a_column_for_their_labels(tmp_path):
    path = ann_data(tmp_path / "cells.h5ad", obs=("cell_type", "donor"))
    with pytest.raises(DataError, match="one of cell_type, donor"):
        File(path).read()
    with pytest.raises(DataError, match="Did you mean 'donor'"):
        File(path, target="doner").read()
    assert File(path, target="count").read().y_train.tolist() == list(range(6))


def test_a_file_that_is_no_hdf5_is_one_line(tmp_path):
    (tmp_path / "cells.h5ad").write_bytes(b"no such thing")
    with pytest.raises(DataError, match="is not a file of HDF5"):
        File(str(tmp_path / "cells.h5ad")).read()
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["A"] = X
    with pytest.raises(DataError, match="no X and obs"):
        File(str(tmp_path / "other.h5ad")).read()


@pytest.mark.parametrize("stored", ["dense", "csc"])
def test_matlab_of_version_7_3(tmp_path, stored):
    path = tmp_path / "set.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        if stored == "dense":
            file["X"] = X.T
        else:
            csc = sparse.csc_array(X)
            group = file.create_group("X")
            group.attrs["MATLAB_sparse"] = np.uint64(6)
            group["data"], group["ir"], group["jc"] = csc.data, csc.indices, csc.indptr
        file["Y"] = np.arange(6.0)[None] % 2
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as raw:
        raw.write(header)
    parts = File(str(path)).read()
    found = parts.X_train
    np.testing.assert_array_equal(found.toarray() if stored == "csc" else found, X)
    assert parts.y_train.tolist() == [0, 1] * 3
