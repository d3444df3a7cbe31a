"""What a trial's processes leave may be anything: it never ends the run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.status import Status
from sparsebench.core.worker.classify import End, classify
from sparsebench.run import mpi_process_log
from sparsebench.run.supervisor import read_progress, read_result

RESULT: dict[str, Any] = {
    "status": "ok",
    "measures": {"test_accuracy": 0.5, "train_loss": "nan", "net_peak_bytes": None},
    "phases": {"train": {"seconds": 1.0, "peak_rss_bytes": 5}},
    "layers": [{"shape": [3, 4], "connections": 2, "stored_bytes": {"weights": 8}, "new": [1]}],
    "settings": {"exact": True},
    "later": "version",
}


def test_a_well_formed_result_is_kept_whole(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(RESULT))
    found, malformed = read_result(file)
    assert malformed == ""
    assert found is not None
    assert math.isnan(found["measures"].pop("train_loss"))
    assert found["layers"][0]["new"] == [1]
    assert (found["status"], found["later"]) == ("ok", "version")
    assert found["measures"] == {"test_accuracy": 0.5, "net_peak_bytes": None}


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"status": "fine"}, "status"),
        ({"status": None}, "status"),
        ({"measures": {"wall_seconds": "12"}}, "measures.wall_seconds"),
        ({"measures": {"net_peak_bytes": "nan"}}, "net_peak_bytes"),
        ({"measures": {"test_accuracy": [1]}}, "measures.test_accuracy"),
        ({"measures": {"test_accuracy": True}}, "measures.test_accuracy"),
        ({"measures": None}, "measures"),
        ({"phases": {"train": 1}}, "phases.train"),
        ({"phases": {"train": {"seconds": None}}}, "seconds"),
        ({"phases": []}, "phases"),
        ({"layers": {}}, "layers"),
        ({"layers": [{"shape": "12"}]}, "layers[0].shape"),
        ({"layers": [{"shape": [1, 2, 3]}]}, "layers[0].shape"),
        ({"layers": [{"stored_bytes": {"weights": "8"}}]}, "layers[0].stored_bytes.weights"),
        ({"settings": 3}, "settings"),
        ({"cause": 3}, "cause"),
        ({"detail": None}, "detail"),
    ],
)
def test_a_wrong_type_makes_the_trial_crashed(
    tmp_path: Path, changed: dict[str, Any], where: str
) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps({**RESULT, **changed}))
    found, malformed = read_result(file)
    assert found is None
    assert malformed.startswith("its result.json is malformed: ")
    assert where in malformed
    assert "\n" not in malformed
    status, cause, detail = classify(End(code=0, malformed=malformed))
    assert (status, cause, detail) == (Status.CRASHED, "malformed result", malformed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"status": "ok", "settings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"status": "ok", "settings": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b'{"status": "ok", "measures": {"a": 1e999}}',
        b'{"status": "ok", "measures": {"a": 1' + b"0" * 5_000 + b"}}",
    ],
)
def test_content_that_is_no_plain_json(tmp_path: Path, content: bytes) -> None:
    for name in ("result.json", "progress.json", "ranks.jsonl"):
        (tmp_path / name).write_bytes(content)
    found, malformed = read_result(tmp_path / "result.json")
    assert found is None
    assert malformed
    assert read_progress(tmp_path / "progress.json") == {}
    assert mpi_process_log.read(tmp_path) == mpi_process_log.Ranks()


def test_files_that_are_none(tmp_path: Path) -> None:
    assert read_result(tmp_path / "result.json") == (None, "")
    (tmp_path / "result.json").mkdir()
    (tmp_path / "progress.json").symlink_to("/etc/passwd")
    found, malformed = read_result(tmp_path / "result.json")
    assert found is None
    assert malformed
    assert read_progress(tmp_path / "progress.json") == {}
    assert read_progress(tmp_path / "absent.json") == {}


@pytest.mark.parametrize("state", [{"epoch": "3"}, {"loss": []}, {"scores": 1}, {"step": []}])
def test_malformed_progress_is_passed_over(tmp_path: Path, state: dict[str, Any]) -> None:
    (tmp_path / "progress.json").write_text(json.dumps(state))
    assert read_progress(tmp_path / "progress.json") == {}


def test_malformed_lines_of_the_rank_log_are_passed_over(tmp_path: Path) -> None:
    lines = [
        {"rank": 0, "pid": 11, "start": 5},
        {"rank": "0", "pid": 12, "start": 5},
        {"rank": 1, "pid": -1, "start": 5},
        {"rank": 1, "pid": 11, "code": "9"},
        {"rank": 1, "left": 5},
        [],
        {"rank": 0, "pid": 11, "code": 3},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nno json\n"
    (tmp_path / "ranks.jsonl").write_text(text)
    found = mpi_process_log.read(tmp_path)
    assert (found.starts, found.living, found.broken) == ({11: 5}, {}, (0, 3))
