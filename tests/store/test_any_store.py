"""A store from anywhere: whatever its files hold, a verb works or ends in one line.

`SPARSEBENCH_FUZZ=1000 pytest tests/store/test_any_store.py` looks further.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsebench.cli import main

GOLDEN = Path(__file__).parent / "golden" / "store_2"
FILES = sorted(str(f.relative_to(GOLDEN)) for f in GOLDEN.rglob("*") if f.is_file())
EXAMPLES = int(os.environ.get("SPARSEBENCH_FUZZ", "10"))
SECRET = "what lies outside of the store"

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([0, -1, 2**63, 10**30, 1e308]),
    st.floats(), st.text(max_size=5), st.just([]), st.just({}), st.just({"name": []}),
    st.just("../../../../outside"), st.just("\ud800"), st.just([[1], {"a": None}]),
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("any")
    (folder / "outside").mkdir()
    for name in ("outcome.json", "spec.json", "stdout.log", "manifest.json", "suite.toml"):
        (folder / "outside" / name).write_text(SECRET)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def bytes_flipped(file: Path, draw: Any) -> None:
    content = bytearray(file.read_bytes() or b" ")
    for _ in range(draw(st.integers(1, 3))):
        content[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
    file.write_bytes(bytes(content))


def truncated(file: Path, draw: Any) -> None:
    file.write_bytes(file.read_bytes()[: draw(st.integers(0, file.stat().st_size))])


def value_replaced(file: Path, draw: Any) -> None:
    """Any value inside a file of JSON, or in a line of one of JSON lines."""
    if file.suffix not in (".json", ".jsonl"):
        return bytes_flipped(file, draw)
    lines = file.read_text(errors="replace").split("\n" if file.suffix == ".jsonl" else "\0")
    number = draw(st.integers(0, len(lines) - 1))
    try:
        data = json.loads(lines[number])
        *way, last = draw(st.sampled_from(list(_paths(data))))
    except (ValueError, TypeError):
        return bytes_flipped(file, draw)  # another change was there before, or the line is empty
    inner = data
    for key in way:
        inner = inner[key]
    inner[last] = draw(ODD)
    lines[number] = json.dumps(data)
    return _write(file, "\n".join(lines))


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _paths(data: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    found = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in found:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*way, key))


def deleted(file: Path, draw: Any) -> None:
    file.unlink()


def _inside(file: Path) -> list[Path]:
    """A file and the folders that it is in, up to the store's own."""
    return [file, *(folder for folder in file.parents if "store" in folder.parts[:-1])]


def renamed(file: Path, draw: Any) -> None:
    path = draw(st.sampled_from(_inside(file)))
    path.rename(path.with_name(draw(st.sampled_from(["00", "x", "-1", "fe", "f" * 16, " "]))))


def linked(file: Path, draw: Any) -> None:
    target = Path("outside").resolve()
    path = draw(st.sampled_from(_inside(file)))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(draw(st.sampled_from([target, target / path.name, path, "/dev/zero"])))


def piped(file: Path, draw: Any) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES = (bytes_flipped, truncated, value_replaced, value_replaced, deleted, renamed, linked,
           piped)  # fmt: skip

VERBS = (
    ("store", "verify"), ("ls", "runs"), ("show", "latest"), ("show", "latest", "--json"),
    ("show", "TRIAL"), ("status", "latest"), ("logs", "TRIAL"), ("export", "latest"),
    ("export", "latest", "--format", "json"), ("export", "latest", "--epochs"),
    ("report", "latest", "-o", "report.md"), ("merge", "store"), ("store", "migrate"),
    ("store", "rebuild"),
)  # fmt: skip


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_a_store_holds(
    place: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    store = place / "store"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(GOLDEN, store)
    for _ in range(data.draw(st.integers(1, 3))):
        file = store / data.draw(st.sampled_from(FILES))
        if file.is_file() and not file.is_symlink():
            data.draw(st.sampled_from(CHANGES))(file, data.draw)
    trial = data.draw(st.sampled_from(sorted({p.split("/")[2] for p in FILES if "trials/" in p})))
    for words in data.draw(st.lists(st.sampled_from(VERBS), min_size=2, max_size=4, unique=True)):
        words = [trial if word == "TRIAL" else word for word in words]
        named = ["--store", "merged" if words[0] == "merge" else "store"]
        with pytest.raises(SystemExit) as ended:
            main([*words, *named])
        printed = capsys.readouterr()
        assert ended.value.code in (0, 2, 5), (words, printed.err)
        assert "Traceback" not in printed.err
        assert SECRET not in printed.out + printed.err
        if ended.value.code:
            assert printed.err.splitlines()[-1].startswith("error: ")
    shutil.rmtree(place / "merged", ignore_errors=True)
