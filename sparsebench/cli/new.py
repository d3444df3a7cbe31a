"""`sparsebench new`: a plugin or a suite to start from."""

from __future__ import annotations

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
    module = name.replace("-", "_").replace(".", "_")
    cls = "".join(part[:1].upper() + part[1:] for part in [*module.split("_"), "Topology"])
    topologies = load_plugins()["topology"]
    problem = None
    if keyword.iskeyword(module):
        problem = "is a word of Python"
    elif name in topologies:
        problem = f"is a topology of {topologies[name].owner} already"
    elif not (to / f"{module}.py").exists() and importlib.util.find_spec(module) is not None:
        problem = f"makes a module {module}, which would hide another of that name"
    if problem is not None:
        raise SparsebenchError(f"new plugin: {name!r} {problem}; choose another")
    files = {to / f"{module}.py": "plugin.py.txt", to / f"test_{module}.py": "test_plugin.py.txt"}
    _write(name, files, {"@NAME@": name, "@MODULE@": module, "@CLASS@": cls})
    typer.echo(f"try it: sparsebench ls topologies --plugin {to / module}.py", err=True)
    typer.echo(f"test it: python -m pytest {to / f'test_{module}.py'}", err=True)


@app.command()
def suite(name: Name, to: Folder = Path()) -> None:
    """Write a suite of two topologies and five seeds."""
    file = to / f"{name}.toml"
    _write(name, {file: "suite.toml.txt"}, {"@NAME@": name})
    typer.echo(f"try it: sparsebench run {file} --quick", err=True)


def _write(name: str, files: dict[Path, str], words: dict[str, str]) -> None:
    """Write templates with their placeholders replaced. Nothing is written if a file exists or the
    name is not valid."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,60}", name):
        raise SparsebenchError(
            f"new: found the name {name!r}; use a letter, then letters, digits, '.', '_' and '-'"
        )
    for file in files:
        if file.exists():
            raise SparsebenchError(f"new: {file} exists already")
    for file, template in files.items():
        text = (TEMPLATES / template).read_text()
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            raise SparsebenchError(f"new: cannot write {file}: {error.strerror}") from None
        typer.echo(str(file))
