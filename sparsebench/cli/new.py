"""`sparsebench new`: a plugin or a suite to start from."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sparsebench.discovery import load_plugins
from sparsebench.errors import SparsebenchError

app = typer.Typer(
    help="Write a plugin or a suite to start from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

TEMPLATES = Path(__file__).parent / "templates"

Name = Annotated[str, typer.Argument(metavar="NAME", help="As a suite will say it: my-method.")]
Folder = Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to write.")]


@app.command()
def plugin(name: Name, to: Folder = Path()) -> None:
    """A complete topology method and its test."""
    module = _checked(name).replace("-", "_").replace(".", "_")
    words = {"NAME": name, "MODULE": module, "CLASS": _class_name(module)}
    files = {
        to / f"{module}.py": _filled("plugin.py.txt", words),
        to / f"test_{module}.py": _filled("test_plugin.py.txt", words),
    }
    _refuse_existing(files)
    reason = _unfit(name, module, words["CLASS"])
    if reason is not None:
        raise SparsebenchError(f"new plugin: {name!r} {reason}; choose another")
    _write(files)
    typer.echo(f"try it: sparsebench ls topologies --plugin {to / module}.py", err=True)
    typer.echo(f"test it: python -m pytest {to / f'test_{module}.py'}", err=True)


@app.command()
def suite(name: Name, to: Folder = Path()) -> None:
    """A suite of two topologies and three seeds."""
    file = to / f"{_checked(name)}.toml"
    _refuse_existing([file])
    _write({file: _filled("suite.toml.txt", {"NAME": name})})
    path = file if file.parent != Path() else Path(file.name)
    typer.echo(f"try it: sparsebench run {path} --quick", err=True)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,60}", name):
        raise SparsebenchError(
            f"new: found the name {name!r}; use a letter, then letters, digits, '.', '_' and '-'"
        )
    return name


def _unfit(name: str, module: str, cls: str) -> str | None:
    """Why the files of a plugin of that name would not work, or None."""
    if keyword.iskeyword(module):
        return "is a word of Python"
    if keyword.iskeyword(cls) or cls in dir(builtins):
        return f"makes a class {cls}, a word of Python"
    if cls in _imported("plugin.py.txt"):
        return f"makes a class {cls}, a name that the plugin imports"
    taken = load_plugins()["topology"]
    if name in taken:
        return f"is a topology of {taken[name].owner} already"
    if importlib.util.find_spec(module) is not None:
        return f"makes a module {module}, which would hide another of that name"
    return None


def _imported(template: str) -> set[str]:
    """What a template imports by name."""
    words = {"NAME": "name", "MODULE": "module", "CLASS": "Class"}
    imports = [
        node
        for node in ast.walk(ast.parse(_filled(template, words)))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def _class_name(module: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in module.split("_"))


def _filled(template: str, words: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _refuse_existing(files: Iterable[Path]) -> None:
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
