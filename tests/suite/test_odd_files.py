"""Suites, gates and settings as other editors, programs and hands leave them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from suite_files import HEAD, Expand

from sparsebench.analysis.gates import read_gates
from sparsebench.errors import GateError, StoreError, SuiteError
from sparsebench.store.store import Store, open_run_folder
from sparsebench.suite.expand import parse_setting
from sparsebench.suite.suite import read_suite

DOTS = "a" + ".a" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEAD.encode(),
        HEAD.replace("\n", "\r\n").encode(),
        HEAD.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode(),
    ],
    ids=["byte order mark", "CRLF", "CR", "both"],
)
def test_a_suite_of_any_editor_is_read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.toml"
    file.write_bytes(content)
    assert read_suite(file).name == "small"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "odd.toml"
    mark = b"\xff\xfe" if encoding != "utf-16" else b""
    file.write_bytes(mark + HEAD.encode(encoding))
    with pytest.raises(SuiteError, match=r"odd\.toml: is text in UTF-16; save it as UTF-8"):
        read_suite(file)


@pytest.mark.parametrize("text", [f"{DOTS} = 1", f"[{DOTS}]", f"x = {{ {DOTS} = 1 }}"])
def test_a_key_of_very_many_parts_is_refused_at_once(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(text)
    started = time.monotonic()
    with pytest.raises(SuiteError, match="nested too deeply"):
        read_suite(file)
    with pytest.raises(GateError, match="nested too deeply"):
        read_gates(file)
    assert parse_setting(f"model={{ {DOTS} = 1 }}")[1] == f"{{ {DOTS} = 1 }}"
    assert time.monotonic() - started < 20


def test_gates_from_a_device_are_refused() -> None:
    with pytest.raises(GateError, match="/dev/zero: cannot be read: it is not a regular file"):
        read_gates(Path("/dev/zero"))
    with pytest.raises(SuiteError, match="it is not a regular file"):
        read_suite("/dev/zero")


def test_a_store_that_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (tmp_path / ("s" * 256), loop):
        for open_it in (Store, open_run_folder):
            with pytest.raises(StoreError) as error:
                open_it(path)
            assert "\n" not in str(error.value)
            assert path.name in str(error.value)


def test_an_empty_name_is_no_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open_run("only", {"trials": []})
    with pytest.raises(StoreError, match="no run ''"):
        store.run("")


def test_numbers_of_numpy_are_numbers(trials: Expand) -> None:
    rates = {"optimizer.learning_rate": np.logspace(-2, -2, 1)[0], "model.hidden": np.array([3, 4])}
    found = trials(settings=rates, seeds=np.arange(3))
    assert [trial.seed for trial in found] == [0, 1, 2]
    assert found[0].model["hidden"] == [3, 4]
    rate = found[0].optimizer["learning_rate"]
    assert (type(rate), rate) == (float, 0.01)
    assert [trial.seed for trial in trials(seeds=list(np.arange(2)))] == [0, 1]
