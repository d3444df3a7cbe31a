"""`sparsebench report`: runs as a document."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsebench.cli import options as o
from sparsebench.errors import SparsebenchError, nearest

if TYPE_CHECKING:
    from sparsebench.store.store import StoredRun


def write_markdown(runs: Sequence[StoredRun], output: Path | None) -> str:
    """Print it, its plots with the first run; or write it, its plots beside it."""
    from sparsebench.report.markdown import report
    from sparsebench.store.export import write_whole

    if output is None:
        text = _markdown(runs)
        typer.echo(text, nl=False)
    else:
        text = report(runs, output.parent, prefix=f"{output.stem}-")
        write_whole(output, text.encode())
    return text


def write_html(runs: Sequence[StoredRun], output: Path | None) -> None:
    """Write the page; without -o into the folder of the first run, and print where."""
    from sparsebench.report.html.page import report
    from sparsebench.store.export import write_whole

    file = runs[0].path / "report.html" if output is None else output
    write_whole(file, report(runs).encode())
    if output is None:
        typer.echo(str(file))


def write_latex(runs: Sequence[StoredRun], output: Path | None) -> None:
    """Print the tables, or write them."""
    from sparsebench.report.latex import report
    from sparsebench.store.export import write_whole

    if output is None:
        typer.echo(report(runs), nl=False)
    else:
        write_whole(output, report(runs).encode())


Writer = Callable[[Sequence["StoredRun"], Path | None], str | None]
"""Writes a report of the runs; returns it if it is markdown."""

FORMATS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "md": (write_markdown, (".md",)),
    "html": (write_html, (".html", ".htm")),
    "latex": (write_latex, (".tex",)),
}
"""By name: what writes it, and the endings of files that ask for it."""


def command(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids or directories, or 'latest'.")
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}. Default: by the ending of -o, else md.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File to write; plots of markdown go beside it, html has its own.",
        ),
    ] = None,
    store: o.Store = o.DEFAULT_STORE,
) -> None:
    """Write RUN... as a report: accuracy, time, memory, claims, failures and plots."""
    write = _writer(format, output)
    from sparsebench.store.store import Store

    shelf = Store(store)
    found = [shelf.run(name) for name in runs]
    text = write(found, output)
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        append_step_summary(_markdown(found) if text is None else text)


def _writer(format: str | None, output: Path | None) -> Writer:
    """As asked for, else by the ending of the file."""
    if format is None:
        ending = output.suffix.lower() if output is not None else ""
        format = next((name for name, (_, endings) in FORMATS.items() if ending in endings), "md")
    if format not in FORMATS:
        raise SparsebenchError(f"no report format {format!r}.{nearest(format, FORMATS)}")
    return FORMATS[format][0]


def _markdown(runs: Sequence[StoredRun]) -> str:
    """The report as it is printed: its plots lie with the first run."""
    from sparsebench.report.markdown import report

    folder = runs[0].path
    return report(runs, folder, prefix="report-", links=f"{folder}/")


def append_step_summary(text: str) -> None:
    """Show the text on the page of the GitHub workflow, if it runs in one.

    The result has been printed by now: a page that cannot be written is a note.
    """
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as page:
            page.write(text)
    except OSError as error:
        typer.echo(
            f"note: cannot write GITHUB_STEP_SUMMARY {file}: {error.strerror or error}", err=True
        )
