import csv
import importlib.util
import io
import json
from types import SimpleNamespace

import pandas as pd
import pytest

from sparsebench.cli import main
from sparsebench.errors import SparsebenchError
from sparsebench.store.export_formats import FORMULA_STARTS, exported, to_csv, to_json, to_parquet

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


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(SparsebenchError, match="Did you mean 'json'"):
        exported(SimpleNamespace(), "jsn")


ODD_FILES = """
schema = 1
name = "odd"
[trial]
dataset = {{ name = "file", path = "plain.csv" }}
model = {{ hidden = [4] }}
topology = {{ name = "set", epsilon = 2 }}
backend = "scipy-csr"
epochs = 1
threads = 1
[grid]
"dataset.path" = {paths}
"""


@pytest.mark.minutes
@pytest.mark.slow
def test_no_text_of_a_suite_is_a_formula_in_an_exported_csv(tmp_path, monkeypatch, capsysbinary):
    """Through the real command: grid values become cells, whatever they begin with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPARSEBENCH_STORE", raising=False)
    paths = [f"{start}1.csv" for start in FORMULA_STARTS]
    for i, path in enumerate(paths):
        (tmp_path / path).write_text("a,b,y\n" + f"{i},1,0\n2,{i},1\n" * 20)
    (tmp_path / "odd.toml").write_text(ODD_FILES.format(paths=json.dumps(paths)))
    for words in (["run", "odd.toml", "--no-plan"], ["export", "latest"]):
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capsysbinary.readouterr()
        assert ended.value.code in (0, None), said.err.decode()
    header, *lines = rows(said.out)
    shown = [line[header.index("dataset.path")] for line in lines]
    assert shown == ["'" + path.replace("\r", "\n") for path in paths]


def test_a_list_in_a_column_of_counts_is_json():
    frame = pd.DataFrame({"connections": [3.0, [1, 2], None]}, dtype=object)
    assert rows(to_csv(frame)) == [["connections"], ["3"], ["[1,2]"], [""]]
