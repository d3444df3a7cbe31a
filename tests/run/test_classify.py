from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from sparsebench.core.worker.classify import NO_DISK, End, classify, failure

OK = {"status": "ok"}
BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'"
OPENBLAS = "OpenBLAS error: Memory allocation still failed after 10 retries, giving up."
REGIONS = "OpenBLAS : Program is Terminated. Because you tried to allocate too many memory regions."
NUMPY = "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 4.00 GiB for an array"

ENDS: list[tuple[dict[str, Any], str, str]] = [
    ({"code": 0, "result": OK}, "ok", ""),
    ({"code": 0, "result": OK, "stopped": "timeout"}, "ok", ""),
    ({"code": -15, "result": OK, "stopped": "timeout"}, "timeout", ""),
    ({"code": -11, "result": OK}, "crashed", "SIGSEGV"),
    ({"code": 1, "result": {"status": "error", "cause": "KeyError"}}, "error", "KeyError"),
    ({"code": -9, "stopped": "timeout"}, "timeout", ""),
    ({"code": -9, "stopped": "limit"}, "out-of-memory", "limit"),
    ({"code": -15, "stopped": "stop"}, "interrupted", ""),
    ({"code": -9}, "killed", "SIGKILL"),
    ({"code": -9, "rss": 95, "room": 100}, "out-of-memory", "suspected"),
    ({"code": -9, "rss": 80, "room": 100}, "killed", "SIGKILL"),
    ({"code": -9, "oom_killed": True}, "out-of-memory", "suspected"),
    ({"code": -9, "tail": NUMPY}, "killed", "SIGKILL"),
    ({"code": -6, "tail": BAD_ALLOC}, "out-of-memory", "alloc"),
    ({"code": 1, "tail": OPENBLAS}, "out-of-memory", "alloc"),
    ({"code": 1, "tail": REGIONS}, "out-of-memory", "alloc"),
    ({"code": -6, "tail": "LLVM ERROR: out of memory"}, "out-of-memory", "alloc"),
    ({"code": 1, "tail": "MemoryError"}, "out-of-memory", "alloc"),
    ({"code": 1, "tail": NUMPY}, "out-of-memory", "alloc"),
    ({"code": 1, "tail": "the word MemoryError in a sentence"}, "crashed", "exit 1 without result"),
    ({"code": -8}, "crashed", "SIGFPE"),
    ({"code": -(signal.SIGRTMIN + 3)}, "crashed", f"signal {signal.SIGRTMIN + 3}"),
    ({"code": 7}, "crashed", "exit 7 without result"),
    ({"code": NO_DISK}, "interrupted", ""),
    ({"code": NO_DISK, "stopped": "timeout"}, "timeout", ""),
]


@pytest.mark.parametrize(("end", "status", "cause"), ENDS)
def test_ends(end: dict[str, Any], status: str, cause: str) -> None:
    assert classify(End(**end))[:2] == (status, cause)


def test_a_bug_is_named_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "my_drop.py"
    file.write_text("def scores(W):\n    return W.no_such_name\n")
    found: dict[str, Any] = {}
    exec(compile(file.read_text(), file, "exec"), found)
    try:
        found["scores"](3)
    except AttributeError as error:
        outcome = failure(error, tmp_path)
    assert (outcome["status"], outcome["cause"]) == ("error", "AttributeError")
    assert outcome["detail"] == (
        "'int' object has no attribute 'no_such_name' (my_drop.py:2, in scores)"
    )
