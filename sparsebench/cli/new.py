"""`sparsebench new`: a plugin or a suite to start from."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

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
    if keyword.iskeyword(module):
        raise SparsebenchError(f"new plugin: {name!r} is a word of Python; choose another")
    words = {"NAME": name, "MODULE": module, "CLASS": _class_name(module)}
    _write(
        {
            to / f"{module}.py": _filled("plugin.py.txt", words),
            to / f"test_{module}.py": _filled("test_plugin.py.txt", words),
        }
    )
    typer.echo(f"try it: sparsebench ls topologies --plugin {to / module}.py", err=True)
    typer.echo(f"test it: python -m pytest {to / f'test_{module}.py'}", err=True)


@app.command()
def suite(name: Name, to: Folder = Path()) -> None:
    """A suite of two topologies and three seeds."""
    file = to / f"{_checked(name)}.toml"
    _write({file: _filled("suite.toml.txt", {"NAME": name})})
    path = file if file.parent != Path() else Path(file.name)
    typer.echo(f"try it: sparsebench run {path} --quick", err=True)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,60}", name):
        raise SparsebenchError(
            f"new: found the name {name!r}; use a letter, then letters, digits, '.', '_' and '-'"
        )
    return name


def _class_name(module: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in module.split("_"))


def _filled(template: str, words: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _write(files: dict[Path, str]) -> None:
    """All of them, or none if one is there already."""
    for file in files:
        if file.exists():
            raise SparsebenchError(f"new: {file} is there already")
    for file, text in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            raise SparsebenchError(f"new: cannot write {file}: {error.strerror}") from None
        typer.echo(str(file))
