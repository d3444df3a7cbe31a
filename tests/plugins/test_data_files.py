"""Files as people have them: what is understood of each, and what a refusal says."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from scipy import io, sparse
from small import prepare
from sparsebench_plugins.datasets.file import File

from sparsebench.core.data.inspection import described
from sparsebench.errors import DataError

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 3)).round(3)
y = np.arange(12) % 2
WORDS = np.array(["AML", "ALL"])[y]


def table(names="g0,g1,g2,class", labels=WORDS, separator=",", decimal="."):
    rows = [
        separator.join([*(str(v).replace(".", decimal) for v in row), str(label)])
        for row, label in zip(X, labels)
    ]
    return "\n".join([names.replace(",", separator), *rows]) + "\n"


def of_text(folder, text, name="my.csv", encoding="utf-8", **given):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return File(str(path), **given).read()


@pytest.mark.parametrize(
    ("name", "separator", "decimal", "encoding"),
    [
        ("my.csv", ",", ".", "utf-8"),
        ("MY.CSV", ";", ",", "utf-8-sig"),
        ("my.tsv", "\t", ",", "utf-16"),
        ("my.txt", " ", ".", "cp1252"),
        ("my.txt", "|", ".", "utf-8"),
    ],
)
def test_separators_decimals_and_encodings_are_found(tmp_path, name, separator, decimal, encoding):
    labels = np.where(y, "häufig", "selten")
    text = table(labels=labels, separator=separator, decimal=decimal)
    parts = of_text(tmp_path, text, name, encoding)
    np.testing.assert_array_equal(parts.X_train, X)
    assert parts.y_train.tolist() == labels.tolist()
    assert parts.features == ["g0", "g1", "g2"]
    assert "class" in str(parts.target)


def test_a_packed_table_with_quotes_crlf_comments_and_blank_lines(tmp_path):
    text = "# exported\n" + table(labels=[f'"{w}, new"' for w in WORDS]) + "\n"
    path = tmp_path / "my.CSV.GZ"
    path.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    parts = File(str(path)).read()
    np.testing.assert_array_equal(parts.X_train, X)
    assert set(parts.y_train) == {"AML, new", "ALL, new"}


@pytest.mark.parametrize("given", ["no header", "names of pandas", "stated"])
def test_a_header_or_none(tmp_path, given):
    names = "0,1,2,class" if given == "names of pandas" else "1,7,9,AML"
    text = table(names)
    if given == "no header":
        text = text.partition("\n")[2]
    parts = of_text(tmp_path, text, **({"header": True} if given == "stated" else {}))
    assert len(parts.X_train) == 12
    assert any("no header" in note for note in parts.notes) == (given == "no header")


@pytest.mark.parametrize("names", [",g0,g1,g2,class", "id,g0,g1,g2,class", "g0,g1,g2,class"])
@pytest.mark.parametrize("start", ["0", "s0"])
def test_row_numbers_and_names_are_no_features(tmp_path, names, start):
    head, *rows = table(names).splitlines()
    rows = [f"{start[:-1]}{i},{row}" for i, row in enumerate(rows)]
    parts = of_text(tmp_path, "\n".join([head, *rows]))
    np.testing.assert_array_equal(parts.X_train, X)
    assert any("is left out" in note for note in parts.notes)
    if start == "0" and names[0] == "i":
        assert of_text(tmp_path, "\n".join([head, *rows]), leave_out=()).X_train.shape[1] == 4


def test_trailing_separators_are_no_column(tmp_path):
    for names in ("g0,g1,g2,class", "g0,g1,g2,class,"):
        text = table(names, labels=[f"{w}," for w in WORDS])
        parts = of_text(tmp_path, text)
        np.testing.assert_array_equal(parts.X_train, X)
        assert set(parts.y_train) == set(WORDS)


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (["NA", "EU"], ["EU", "NA"]),
        (["None", "mild"], ["None", "mild"]),
        (["01", "1"], ["01", "1"]),
        (["1e5", "100000"], ["100000", "1e5"]),
        (["AML ", "AML", " ALL"], ["ALL", "AML"]),
        (["'2'", "'1'"], [1, 2]),
        (["-1", "+1"], [-1, 1]),
        (["1.5", "1.50", "2"], [1.5, 2.0]),
        (["True", "False"], ["False", "True"]),
    ],
)
def test_labels_are_what_the_file_says(tmp_path, labels, kept):
    parts = of_text(tmp_path, table(labels=(labels * 12)[:12]))
    assert np.unique(parts.y_train).tolist() == kept


@pytest.mark.parametrize("target", ["class", 0, -4])
def test_a_target_by_name_and_by_position(tmp_path, target):
    text = "\n".join(
        ["class,g0,g1,g2", *(f"{w}," + ",".join(map(str, r)) for w, r in zip(WORDS, X))]
    )
    for given in ({"target": target}, {}):
        parts = of_text(tmp_path, text, **given)
        assert parts.y_train.tolist() == WORDS.tolist()
        assert any(note.startswith("target: column 'class'") for note in parts.notes) != bool(given)


@pytest.mark.parametrize("missing", ["mean", "median", "zero", "drop"])
def test_missing_values_have_a_policy(tmp_path, missing):
    text = "a,b,y\n1,5,u\nNA,5,v\n2,5,u\n6,5,v\n"
    parts = of_text(tmp_path, text, missing=missing)
    assert parts.missing == 1
    column = parts.X_train[:, 0].tolist()
    assert column[:1] + column[-2:] == [1, 2, 6]
    if missing in ("mean", "median"):  # of the training samples, so behind the split
        assert parts.fill == missing
        assert np.isnan(column[1])
    else:
        assert column[1:-2] == ([] if missing == "drop" else [0])
    assert len(parts.y_train) == len(parts.X_train)


def test_a_line_that_does_not_fit_is_named(tmp_path):
    lines = table().splitlines()
    for changed, message in (
        ("1,2,AML", "line 5 has 3 cells where the first rows have 4"),
        ('1,"1,234.5",2,AML', r"column 'g1' holds '1,234\.5' in line 5"),
        ("1,?,2,AML", r"column 'g1' has '\?' in line 5"),
    ):
        with pytest.raises(DataError, match=message):
            of_text(tmp_path, "\n".join([*lines[:4], changed, *lines[5:]]))


def test_genes_as_rows(tmp_path):
    columns = [f"s{i}" for i in range(12)]
    rows = [",".join(["gene", *columns]), ",".join(["tissue", *WORDS])]
    rows += [",".join([f"TP{i}", *map(str, X[:, i])]) for i in range(3)]
    parts = of_text(tmp_path, "\n".join(rows), orientation="features-in-rows")
    np.testing.assert_array_equal(parts.X_train, X)
    assert parts.features == ["TP0", "TP1", "TP2"]
    assert parts.y_train.tolist() == WORDS.tolist()


def test_whole_numbers_that_are_many_for_classes_are_named(tmp_path):
    parts = of_text(tmp_path, table(labels=range(30, 42)))
    assert not any("different whole numbers" in note for note in parts.notes)
    more = "a,age\n" + "".join(f"{i * 0.5},{i % 25 + 20}\n" for i in range(100))
    assert any("25 different whole numbers" in note for note in of_text(tmp_path, more).notes)


csr = sparse.csr_matrix(X)
CSR = {"indptr": csr.indptr, "indices": csr.indices, "data": csr.data, "shape": np.array(csr.shape)}
NPZ = {
    "as np.savez names them": {"arr_0": X, "arr_1": y},
    "as scikit-learn names them": {"data": X, "target": y},
    "a column": {"X": X, "y": y[:, None]},
    "one-hot": {"X": X, "Y": np.eye(2)[y]},
    "-1 and 1": {"X": X, "y": 2 * y - 1},
    "csr": {f"X_{name}": array for name, array in CSR.items()} | {"y": y},
    "unused objects": {"X": X, "y": y, "names": np.array(["a", {}], dtype=object)},
    "Keras": {"x_train": X.reshape(12, 3, 1), "y_train": y, "x_test": X, "y_test": y},
    "the seeds'": {
        "X_train": X, "Y_train": np.eye(2)[y], "X_test": X, "Y_test": np.eye(2)[y],
    },
}  # fmt: skip


@pytest.mark.parametrize("what", list(NPZ))
def test_npz_under_any_names(tmp_path, what):
    np.savez(tmp_path / "my.NPZ", **NPZ[what])
    (tmp_path / "my.NPZ.npz").rename(tmp_path / "my.NPZ")
    parts = File(str(tmp_path / "my.NPZ")).read()
    X_read = parts.X_train
    np.testing.assert_array_equal(X_read if isinstance(X_read, np.ndarray) else X_read.toarray(), X)
    data = prepare(parts, seed=0)
    assert data.outputs == 2
    rows = slice(None) if parts.X_test is not None else None
    if rows is not None:
        assert data.train.targets.tolist() == y.tolist()


def test_a_split_beside_X_is_used_and_said(tmp_path):
    np.savez(tmp_path / "my.npz", X=X, y=y, X_train=X, y_train=y, X_test=X[:4], y_test=y[:4])
    parts = File(str(tmp_path / "my.npz")).read()
    assert parts.X_test.shape == (4, 3)
    assert parts.notes == ("the file's own split is used; X, y is not",)


def test_features_with_targets_in_a_file_beside(tmp_path):
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(DataError, match=r"holds the features alone; expected the targets"):
        File(str(tmp_path / "X.npy")).read()
    np.save(tmp_path / "y.npy", y)
    found = File(str(tmp_path / "X.npy"))
    assert found.read().y_train.tolist() == y.tolist()
    assert set(found.identity()) == {"sha256", "targets"}
    io.mmwrite(tmp_path / "words.mtx", sparse.coo_matrix(X))
    (tmp_path / "words_labels.txt").write_text("\n".join(WORDS))
    parts = File(str(tmp_path / "words.mtx")).read()
    np.testing.assert_array_equal(parts.X_train.toarray(), X)
    assert parts.y_train.tolist() == WORDS.tolist()
    (tmp_path / "train.data").write_text("\n".join(" ".join(map(str, row)) + " " for row in X))
    (tmp_path / "train.labels").write_text("\n".join(map(str, 2 * y - 1)))
    np.testing.assert_array_equal(File(str(tmp_path / "train.data")).read().X_train, X)
    sparse.save_npz(tmp_path / "bow.npz", csr)
    parts = File(str(tmp_path / "bow.npz"), target_file="y.npy").read()
    np.testing.assert_array_equal(parts.X_train.toarray(), X)


def test_svmlight_mat_and_arff(tmp_path):
    lines = [
        f"{2 * k - 1} " + " ".join(f"{j + 1}:{v}" for j, v in enumerate(r)) for k, r in zip(y, X)
    ]
    (tmp_path / "my.svm").write_text("\n".join(lines))
    io.savemat(tmp_path / "my.mat", {"X": X, "Y": y[:, None]})
    arff = "@relation m\n" + "".join(f"@attribute g{i} numeric\n" for i in range(3))
    arff += "@attribute class {ALL,AML}\n@data\n" + table().partition("\n")[2]
    (tmp_path / "my.arff").write_text(arff)
    for name in ("my.svm", "my.mat", "my.arff"):
        parts = File(str(tmp_path / name)).read()
        found = parts.X_train
        np.testing.assert_array_equal(
            found if isinstance(found, np.ndarray) else found.toarray(), X
        )
        assert prepare(parts, seed=0).outputs == 2


def test_content_under_a_wrong_ending_is_named(tmp_path):
    path = tmp_path / "my.csv"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(DataError, match="has the content of HDF5"):
        File(str(path)).read()


def test_inspection_names_leaks_and_constant_features(tmp_path):
    leaky = np.column_stack([X, y * 2.0, np.ones(12), np.arange(12)])
    np.savez(tmp_path / "my.npz", X=leaky, y=np.eye(2)[y])
    found = described(File(str(tmp_path / "my.npz")).read())
    assert (found["samples"], found["features"], found["classes"]) == (12, 6, 2)
    assert found["leaks"] == ["3: is the target, or nearly so", "5: numbers the rows"]
    assert found["constant"] == ["4"]
    assert found["storage"].startswith("dense float64")
    np.savez(tmp_path / "csr.npz", **{f"X.{k}": v for k, v in CSR.items()}, y=X[:, 0])
    found = described(File(str(tmp_path / "csr.npz")).read())
    assert found["understood_as"] == "numbers"
    assert found["storage"].startswith("csr")
