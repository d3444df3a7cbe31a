"""What strangers wrote is data: it is neither executed nor let loose on a terminal."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparsebench.discovery import load_plugins
from sparsebench.errors import PluginError, printable

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "sparsebench").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]

EXECUTED = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
"""Reading one of these runs what it says. numba keeps compiled code in a cache of its own, which
it pickles: that folder is the user's own cache and nothing of a run, a suite or data gets there."""


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            yield from (f"imports {name}" for name in names if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Name) and node.id in EXECUTED:
            yield f"names {node.id}"
        if isinstance(node, ast.keyword):
            value = node.value
            safe = isinstance(value, ast.Constant) and value.value is False
            if node.arg in ("allow_pickle", "shell") and not safe:
                yield f"{node.arg} is not False"


def test_nothing_is_unpickled_or_evaluated() -> None:
    assert len(SOURCES) > 100
    found = {
        f"{file.relative_to(ROOT)}: {offence}"
        for file in SOURCES
        for offence in offences(ast.parse(file.read_text()))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from joblib import load", "eval('1')", "np.load(f, allow_pickle=True)",
     "subprocess.run('ls', shell=True)", "import yaml", "np.load(f, allow_pickle=flag)"],
)  # fmt: skip
def test_the_search_finds(source: str) -> None:
    assert list(offences(ast.parse(source)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 数 ± text", "plain é 数 ± text"),
        ("two\nlines\tand  more", "two lines and more"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\u202eb", "a\\u202eb"),
        ("\x9b2J\udcff", "\\x9b2J\\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_distribution_cannot_write_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ImportError("\x1b[2Jgone\nsecond line")

    point = SimpleNamespace(
        name="odd\x1b[31m", value="odd:plugin", load=refuse,
        dist=SimpleNamespace(name="odd\x07", version="1\x1b[0m"),
    )  # fmt: skip
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    (info,) = load_plugins().infos
    assert (info.name, info.origin, info.version) == ("odd\\x1b[31m", "odd\\x07", "1\\x1b[0m")
    assert info.error == "ImportError: \\x1b[2Jgone second line"


REGISTERS = """
from dataclasses import dataclass
from sparsebench import hookimpl

@dataclass(frozen=True)
class Odd:
    "One line."

@hookimpl
def register_topologies(register):
    register({name!r}, Odd, summary="a\\x1b[2Jb", get="pip\\x07")
"""


def test_names_and_summaries_are_printable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
    for name in ("odd\x1b[31m", "two\nlines", ""):
        file = tmp_path / f"odd_{len(name)}.py"
        file.write_text(REGISTERS.format(name=name))
        with pytest.raises(PluginError, match="one line of printable characters"):
            load_plugins([file])
    file = tmp_path / "fine.py"
    file.write_text(REGISTERS.format(name="fine"))
    entry = load_plugins([file]).entry("topology", "fine")
    assert (entry.summary, entry.get) == ("a\\x1b[2Jb", "pip\\x07")
