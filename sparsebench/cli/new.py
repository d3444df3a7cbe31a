"""`sparsebench new`: a plugin or a suite to start from."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError

app = typer.Typer(help="Write a plugin or a suite to start from.", no_args_is_help=True)

TEMPLATES = Path(__file__).parent / "templates"

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name in suites: my-method.")]
Folder = Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to write.")]


@app.command()
def plugin(name: Name, to: Folder = Path()) -> None:
    """Write a complete topology method and its test."""
    module = _checked(name).replace("-", "_").replace(".", "_")
    cls = "".join(part[:1].upper() + part[1:] for part in module.split("_"))
    text, test = (
        (TEMPLATES / template).read_text().replace("@NAME@", name).replace("@MODULE@", module)
        for template in ("plugin.py.txt", "test_plugin.py.txt")
    )
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(text.replace("@CLASS@", "Class")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    files = {to / f"{module}.py": text, to / f"test_{module}.py": test}
    _refuse_existing(files)
    topologies = load_plugins()["topology"]
    problem = None
    if keyword.iskeyword(module):
        problem = "is a word of Python"
    elif keyword.iskeyword(cls) or cls in dir(builtins):
        problem = f"makes a class {cls}, a word of Python"
    elif cls in imported:
        problem = f"makes a class {cls}, a name that the plugin imports"
    elif name in topologies:
        problem = f"is a topology of {topologies[name].owner} already"
    elif importlib.util.find_spec(module) is not None:
        problem = f"makes a module {module}, which would hide another of that name"
    if problem is not None:
        raise SparsebenchError(f"new plugin: {name!r} {problem}; choose another")
    _write({file: text.replace("@CLASS@", cls) for file, text in files.items()})
    typer.echo(f"try it: sparsebench ls topologies --plugin {to / module}.py", err=True)
    typer.echo(f"test it: python -m pytest {to / f'test_{module}.py'}", err=True)


@app.command()
def suite(name: Name, to: Folder = Path()) -> None:
    """Write a suite of two topologies and three seeds."""
    file = to / f"{_checked(name)}.toml"
    files = {file: (TEMPLATES / "suite.toml.txt").read_text().replace("@NAME@", name)}
    _refuse_existing(files)
    _write(files)
    typer.echo(f"try it: sparsebench run {file} --quick", err=True)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,60}", name):
        raise SparsebenchError(
            f"new: found the name {name!r}; use a letter, then letters, digits, '.', '_' and '-'"
        )
    return name


def _refuse_existing(files: dict[Path, str]) -> None:
    for file in files:
        if file.exists():
            raise SparsebenchError(f"new: {file} is there already")


def _write(files: dict[Path, str]) -> None:
    for file, text in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            raise SparsebenchError(f"new: cannot write {file}: {error.strerror}") from None
        typer.echo(str(file))
