"""The documentation site: pages generated from the code, and files from outside docs/.

A hook of MkDocs (mkdocs.yml). The reference of the command line, of the components and of the
metrics is made when the site is built, so it cannot disagree with the code. plugins/README.md,
CONTRIBUTING.md, CHANGELOG.md and the reports become pages; links to them are written as GitHub
needs them (`../plugins/README.md`) and shortened here.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

from sparsebench.cli import app, plugin_commands

ROOT = Path(__file__).parents[1]
OUTSIDE = ("plugins/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "reports")
PROGRAM = get_command(app)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the pages that lie outside docs/."""
    for name, page in (("cli", cli), ("components", components), ("metrics", metrics),
                       ("api", api)):  # fmt: skip
        content = "\n".join(page())
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    for place in OUTSIDE:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.*")):
            uri = str(file.relative_to(ROOT))
            files.append(File.generated(config, uri, abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Shorten the links between docs/ and the folders beside it, which are one folder here."""
    if page.file.src_uri.startswith(OUTSIDE):
        to_root = "../" * page.file.src_uri.count("/")
        return re.sub(r"(?<=\]\()(\.\./)*docs/", to_root, markdown)
    # docs/ is the root of the site: one folder less to climb
    return re.sub(rf"(?<=\]\()((?:\.\./)*)\.\./(?={'|'.join(OUTSIDE)})", r"\1", markdown)


def cli() -> Iterator[str]:
    """`--help` of every command."""
    yield "# Command line\n\nThe `--help` of every command."
    for words in commands(PROGRAM):
        title = " ".join(("sparsebench", *words))
        yield f"\n## {title}\n\n```text\n{output(*words, '--help').strip()}\n```"


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, depth first; those of the program itself are ()."""
    if not before:
        yield ()
    context = typer.Context(group)
    for name in [*group.list_commands(context), *([] if before else plugin_commands())]:
        command = group.get_command(context, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name)


def ls(*words: str) -> list[dict[str, Any]]:
    """The rows that `sparsebench ls` prints."""
    return json.loads(output("ls", *words, "--json") or "[]")


def output(*words: str) -> str:
    """What the command prints to stdout, run in this process."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        PROGRAM.main(list(words), prog_name="sparsebench", standalone_mode=False, obj=list(words))
    return written.getvalue()


def components() -> Iterator[str]:
    """Every component that a suite may name, with its parameters."""
    yield "# Components\n\nWhat a suite may name, by kind, as `sparsebench ls KIND NAME` shows it."
    for row in ls():
        kind = row["kind"]
        if kind in ("suites", "runs", "plugins"):
            continue
        yield f"\n## {kind.replace('_', ' ').capitalize()}\n"
        for component in ls(kind):
            name = component["name"]
            yield f"### {name}\n\n{escaped(component['summary'])}\n"
            parameters = ls(kind, name)
            if parameters:
                yield from table(("parameter", "type", "default", "meaning"), parameters)
                yield ""


def metrics() -> Iterator[str]:
    """Every measured quantity of metrics.py."""
    from sparsebench.discovery import load_plugins
    from sparsebench.metrics import BUILT_IN

    yield "# Metrics\n"
    yield (
        "Columns of `sparsebench export` that are measured. `trial` metrics are columns of the "
        "export, `epoch` and `layer` metrics of `export --epochs`. The change of an `exact` "
        "metric is any difference, of `points` a difference, of `ratio` a factor."
    )
    yield ""
    load_plugins(())
    rows = [
        {
            "metric": f"`{metric.name}`",
            "unit": metric.unit or "",
            "compared by": metric.scale or "",
            "better": {1: "higher", -1: "lower"}.get(metric.better, ""),
            "of": ", ".join(metric.kinds),
            "title": metric.title or "",
        }
        for metric in BUILT_IN.values()
    ]
    yield from table(("metric", "unit", "compared by", "better", "of", "title"), rows)


def api() -> Iterator[str]:
    """What scripts and plugins may import, from docstrings."""
    import sparsebench

    yield "# Python API\n\n## sparsebench\n\nFor scripts, notebooks and plugins:\n"
    for name in dir(sparsebench):
        value = getattr(sparsebench, name)
        if inspect.ismodule(value):  # the package `sparsebench.run` can be called
            yield f"::: {sparsebench.load_run.__module__}.{name}\n"
        elif hasattr(value, "__qualname__"):
            yield f"::: {value.__module__}.{value.__qualname__}\n"
    for module, title in (
        ("sparsebench.sklearn.base", "Parameters of all estimators"),
        ("sparsebench.sklearn.estimators", "Estimators for scikit-learn"),
        ("sparsebench.sklearn.feature_selection", "Feature selection"),
        ("sparsebench.hookspecs", "Hooks of a plugin"),
        ("sparsebench.core.protocols", "Protocols of components"),
        ("sparsebench.core.methods.protocols", "Protocols of topology methods"),
        ("sparsebench.testing", "The conformance kit"),
    ):
        yield f"\n## {title}\n\n::: {module}\n"


def table(heads: Iterable[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(escaped(str(row[head])) for head in heads)} |"


def escaped(text: str) -> str:
    """Text as the cell of a table, where a bar would end it."""
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("\n", " ")
