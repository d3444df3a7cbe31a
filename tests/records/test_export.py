import csv
import importlib.util
import io
import json

import pandas as pd
import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.records.export import export, to_csv, to_json, to_parquet

FRAME = pd.DataFrame(
    {
        "trial": ["a", "=cmd()", '+"x",\n'],
        "test_accuracy": [0.1 + 0.2, float("nan"), float("inf")],
        "connections": [42.0, float("nan"), 7.0],
        "connections_1": [2.0, 3.0, float("nan")],
        "learning_rate": [-0.5, 1e-300, 3.0],
        "contended": [True, False, False],
    }
)


def rows(content):
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_csv_reads_back_the_same_floats():
    read = list(csv.DictReader(io.StringIO(to_csv(FRAME).decode(), newline="")))
    assert float(read[0]["test_accuracy"]) == 0.1 + 0.2
    assert float(read[1]["learning_rate"]) == 1e-300


def test_csv_cells():
    header, first, second, third = rows(to_csv(FRAME))
    assert header == list(FRAME.columns)
    assert first == ["a", "0.30000000000000004", "42", "2", "-0.5", "True"]
    assert second == ["'=cmd()", "", "", "3", "1e-300", "False"]
    assert third[:3] == ['\'+"x",\n', "inf", "7"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_text_is_no_formula(text):
    shown = text.replace("\r", "\n")
    assert rows(to_csv(pd.DataFrame({"cause": [text]})))[1] == [f"'{shown}"]


def test_json_has_null_for_unknown_and_text_for_infinity():
    first, second, third = json.loads(to_json(FRAME))
    assert (first["connections"], first["test_accuracy"]) == (42, 0.1 + 0.2)
    assert (second["test_accuracy"], third["test_accuracy"]) == (None, "inf")
    assert second["trial"] == "=cmd()"


def test_an_empty_frame_is_a_header_and_an_empty_list():
    empty = FRAME.iloc[:0]
    assert len(rows(to_csv(empty))) == 1
    assert json.loads(to_json(empty)) == []


def test_parquet_keeps_values_and_counts():
    pytest.importorskip("pyarrow")
    read = pd.read_parquet(io.BytesIO(to_parquet(FRAME)))
    assert str(read["connections"].dtype) == "Int64"
    assert read["test_accuracy"][0] == 0.1 + 0.2


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SparsebenchError, match=r"pip install 'sparsebench\[parquet\]'"):
        to_parquet(FRAME)


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "new" / "x.csv"
    export(FRAME, "csv", file)
    export(FRAME.iloc[:1], "csv", file)
    assert len(rows(file.read_bytes())) == 2
    assert [path.name for path in file.parent.iterdir()] == ["x.csv"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SparsebenchError, match="cannot write"):
        export(FRAME, "csv", tmp_path / "file" / "x.csv")


def test_without_a_file_it_goes_to_stdout(capfdbinary):
    export(FRAME, "csv")
    assert capfdbinary.readouterr().out == to_csv(FRAME)


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(SparsebenchError, match="Did you mean 'json'"):
        export(FRAME, "jsn")
