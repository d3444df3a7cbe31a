"""How the rooms of the house stand to each other; `make lint` has the contracts on imports."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import sparsebench
from sparsebench.discovery import load_plugins

HOME = Path(sparsebench.__file__).parent
PACKAGES = (
    "sparsebench", "sparsebench_plugins", "sparsebench_dask", "sparsebench_parallel",
    "sparsebench_rivals", "sparsebench_roofline", "pytest_sparsebench",
)  # fmt: skip


def test_no_module_imports_itself_in_the_end() -> None:
    """Imports for type checkers and inside functions count too: a cycle of any kind is two
    modules that can be understood only together."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    graphlib.TopologicalSorter(imported).prepare()  # CycleError names one


WORDS = {
    "classification": "what records from before there were objectives are of",
    "constant": "of a feature with one value",
    "dense": "of data that is not csr",
    "file": "a key of an entry of data.json",
    "gradient": "an array of a layer",
    "identity": "a key of the manifest, and a method of data sets",
    "kernel": "an operating system's",
    "momentum": "what an optimizer keeps of each connection; a signal",
    "neurons": "a measure of a trial",
    "none": "nothing",
    "rounds": "of two sides that are run in turn",
    "shapes": "of the arrays of an entry of data.json",
    "step": "of training",
    "threshold": "a key of a gate",
}
"""What is a component's name and a plain word too."""


@pytest.mark.parametrize("room", ["core", "run"])
def test_no_component_is_known_by_name(room: str, tmp_path: Path) -> None:
    """Who makes a new method, backend or data set touches neither."""
    registries = load_plugins(data_dir=tmp_path).registries.values()
    names = {entry.name for registry in registries for entry in registry} - set(WORDS)
    found = [
        f"{file.relative_to(HOME)}:{line}: {text!r}"
        for file in sorted((HOME / room).rglob("*.py"))
        for line, text in _strings(ast.parse(file.read_text()))
        if text in names
    ]
    assert found == []


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string but docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
